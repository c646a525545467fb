"""Reads files to learn from: ``files`` opens them, ``exports`` and ``documents`` find what was said in them."""
