"""Measures of a checkpoint. The items they use are JSONL files in ``data``, described in ``data/README.md``."""

from pathlib import Path

DATA = Path(__file__).parent / "data"
