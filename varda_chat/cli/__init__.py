"""The commands. Imports nothing heavy."""
