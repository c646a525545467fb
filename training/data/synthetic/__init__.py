"""Facts and lines that nobody said: JSONL tables, described in README.md, and what is drawn from them."""
