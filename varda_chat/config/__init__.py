"""What a person can set, and where things lie on disk. Imports nothing heavy."""
