"""WikiText's own tokenised files, article by article, byte for byte: the articles in a row are the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from training.data.sources.documents import BadLines
from training.data.sources.records import lines

ADDRESS = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2"
CHECKSUMS = {
    "train.txt": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
    "valid.txt": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
    "test.txt": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
}
"""SHA-256 of WikiText-2's tokenised files: 2,088,628, 217,646 and 245,569 words with one for each line's end."""

_TITLE = re.compile(r" = [^=](?:.*[^=])? = \n")


def articles(path: Path, bad: BadLines) -> Iterator[str]:
    """The articles of ``path``, each from the blank line above its title to the one above the next title. A title
    stands between blank lines and has one "=" on each side; section headings have more."""
    gathered: list[str] = []
    held: list[str] = []  # a blank line, and a title after it, until the next line shows what they are
    for _, line in lines(path, bad):
        if len(held) == 2:
            if not line.strip() and any(row.strip() for row in gathered):
                yield "".join(gathered)
                gathered = []
            gathered += held
            held = []
        if held and _TITLE.fullmatch(line):
            held.append(line)
            continue
        gathered += held
        held = []
        if line.strip():
            gathered.append(line)
        else:
            held = [line]
    gathered += held
    if gathered:
        yield "".join(gathered)
