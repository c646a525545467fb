"""Large pastes stand in the composer as one short label each, and are whole again when the message is sent."""

from __future__ import annotations

FOLDED_FROM_LINES = 20
FOLDED_FROM_CHARACTERS = 2000


class Pastes:
    """The texts behind the labels of one message."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._texts)

    def fold(self, text: str) -> str:
        """``text``, or where it is large a label that stands for it."""
        lines = text.count("\n") + (not text.endswith("\n"))
        if lines <= FOLDED_FROM_LINES and len(text) <= FOLDED_FROM_CHARACTERS:
            return text
        size = f"{lines:,} lines" if lines > 1 else f"{len(text):,} characters"
        label, number = f"[pasted {size}]", 1
        while self._texts.get(label, text) != text:
            number += 1
            label = f"[pasted {size}, {number}]"
        self._texts[label] = text
        return label

    def unfold(self, text: str) -> str:
        """``text`` with what the labels in it stand for. A label within a pasted text is only text."""
        parts = [(text, False)]
        for label, pasted in self._texts.items():
            parts = [
                piece
                for part, is_pasted in parts
                for piece in ([(part, True)] if is_pasted else _split(part, label, pasted))
            ]
        return "".join(part for part, _ in parts)

    def clear(self) -> None:
        """Forget them all: the message is sent or discarded."""
        self._texts.clear()


def _split(text: str, label: str, pasted: str) -> list[tuple[str, bool]]:
    first, *others = text.split(label)
    pieces = [(first, False)]
    for other in others:
        pieces += [(pasted, True), (other, False)]
    return pieces
