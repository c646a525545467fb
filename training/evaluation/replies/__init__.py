"""Replies judged one by one: memories that must survive, and everyday talk."""
