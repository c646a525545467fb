"""Measures of a checkpoint. The items they use are JSONL files in ``data``, described in ``data/README.md``."""
