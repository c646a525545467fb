"""What the tests of commands share."""

from __future__ import annotations

HEAVY = ("torch", "transformers", "faiss")
