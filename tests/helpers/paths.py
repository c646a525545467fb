"""Where the project lies, and what its tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project's root directory: it contains the packages, docs/ and tests/."""
EXPORTS = Path(__file__).parent / "exports"
"""Files of the shapes that other programs export, one of each."""
