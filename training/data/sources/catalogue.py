"""Every corpus that can be named, its files, licence and where it is from: the lines of ``corpora.jsonl``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from training.data.sources.documents import Split
from training.tables import read_items

Kind = Literal["dialogue", "text", "wikitext"]


@dataclass(frozen=True)
class Named:
    """A corpus. files: names without ``.jsonl.xz``, each with its official split; None: to be split by us.

    home: where it was gathered from, ``OWNER/REPOSITORY@COMMIT``. weight, about_people: as ``corpora.Corpus``.
    bundled: the bundled model reads its files without an official split.
    """

    name: str
    kind: Kind
    files: tuple[tuple[str, Split | None], ...]
    licence: str
    attribution: str
    home: str
    weight: float = 1.0
    about_people: bool = False
    suffix: str = ".jsonl.xz"
    bundled: bool = False

    def paths(self, directory: Path) -> list[tuple[Path, Split | None]]:
        return [(directory / f"{stem}{self.suffix}", split) for stem, split in self.files]


NAMED: Final = {named.name: named for named in read_items(Path(__file__).parent / "corpora.jsonl", Named)}
"""Every corpus by name."""
WIKITEXT: Final = NAMED["wikitext-2"]


def find(name: str) -> Named | None:
    """The corpus of that name, in whichever case, with hyphens for underscores or the other way round."""
    by_plain = {plain(known): named for known, named in reversed(NAMED.items())}
    return NAMED.get(name) or by_plain.get(plain(name))


def plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
