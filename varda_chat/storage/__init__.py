"""What memory and transcripts share to keep data on disk: SQLite, private files, locks, checksums. Imports nothing
heavy."""
