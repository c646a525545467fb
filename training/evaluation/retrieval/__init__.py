"""How often a search finds the turns that answer a question."""
