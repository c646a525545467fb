"""What fills the terminal: the chat, and the help above it."""
