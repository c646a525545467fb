"""One conversation with its memory: a turn is read, decided, answered and remembered. Imports nothing heavy."""
