"""How large a page may say it is."""

from __future__ import annotations

import math

MOST_COLUMNS, MOST_ROWS = 500, 200
"""Larger than any screen; what a chat draws takes memory for each cell."""


def bounded(width: object, height: object) -> tuple[int, int]:
    """Columns and rows from 1 to the most there may be; what is no number is as small as can be."""
    return _within(width, MOST_COLUMNS), _within(height, MOST_ROWS)


def _within(size: object, most: int) -> int:
    return int(max(1, min(most, size))) if isinstance(size, (int, float)) and not math.isnan(size) else 1
