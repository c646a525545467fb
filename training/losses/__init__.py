"""The losses: of episodes as a whole, and of pairs of a telling and a question."""
