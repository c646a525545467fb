"""The chat in a browser: the same app, served by textual-serve to who knows the token. An extra."""
