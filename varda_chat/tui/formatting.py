"""How the screen writes numbers, times and shares."""

from __future__ import annotations

import time
from collections.abc import Sequence

_SPARKS = "▁▂▃▄▅▆▇█"
_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def ago(at: float, now: float) -> str:
    """How long before ``now`` (both unix seconds) ``at`` was, in at most eleven characters: "2 min ago"."""
    seconds = now - at
    if seconds < 45:
        return "just now"
    if seconds < _HOUR:
        return f"{max(1, round(seconds / _MINUTE)):d} min ago"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR):d} h ago"
    if seconds < 2 * _DAY:
        return "yesterday"
    if seconds < 60 * _DAY:
        return f"{int(seconds // _DAY):d} days ago"
    return time.strftime("%d %b %Y", time.localtime(at))


def magnitude(count: int) -> str:
    """A count of parameters as people say it: 8.2M, 124M, 1.5B."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= size:
            value = count / size
            return f"{value:.1f}{letter}" if value < 99.95 else f"{value:.0f}{letter}"
    return str(count)


def bar(share: float, width: int) -> tuple[str, str]:
    """A thin bar as (filled, empty), together ``width`` cells, to half a cell; any share above 0 shows."""
    share = min(1.0, max(0.0, share))
    halves = round(share * width * 2)
    if share > 0:
        halves = max(1, halves)
    filled = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return filled, "─" * (width - len(filled))


def spark(values: Sequence[int]) -> str:
    """A sparkline of ``values``, a cell each, from the least to the most."""
    least, span = min(values), max(values) - min(values)
    return "".join(_SPARKS[round((value - least) / span * (len(_SPARKS) - 1)) if span else 0] for value in values)


def duration(seconds: float) -> str:
    """A short time as people say it: 0.4 ms, 12 ms, 1.3 s."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
