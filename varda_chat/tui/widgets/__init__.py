"""What the chat screen is made of, one noun a file."""
