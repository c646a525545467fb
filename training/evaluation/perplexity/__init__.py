"""Whether the memory helps to predict text and dialogue."""
