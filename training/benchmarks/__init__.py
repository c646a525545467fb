"""How fast things are: the index, turns, the model and its training, beside plain GPT-2 and the ancestor."""
