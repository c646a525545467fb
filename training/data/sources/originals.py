"""Corpora that are made from their public repositories: fetched at a commit, each file checked by git's own checksum of
it, and brought into our records."""

from __future__ import annotations

import csv
import io
import json
import lzma
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from training.data.sources.fetching import TIMEOUT, Digest, fetch
from varda_chat.errors import DataError

API = "https://api.github.com/repos"
RAW = "https://raw.githubusercontent.com"

Record = dict[str, Any]
Records = Callable[[Path, str], Iterator[Record]]
"""From a fetched file, and its path in the repository, to records."""

_ASCII: Final = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)
_SPEAKER: Final = re.compile(r"^User ([12]): ", re.MULTILINE)


def _turns(texts: Iterator[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"speaker": role, "text": " ".join(text.translate(_ASCII).split())} for role, text in texts]


def _pairs(dialogue: list[list[str]]) -> list[dict[str, str]]:
    return _turns((role, text) for pair in dialogue for role, text in zip(("user", "assistant"), pair, strict=False))


def _bench(file: Path, path: str) -> Iterator[Record]:
    """Of the Few-Shot Bot's benchmark: a list of dialogues, each a list of pairs; in msc with the session's number and
    what is known of the two people."""
    split = Path(path).stem.rpartition("-")[2]
    session = re.search(r"session-(\d)", path)
    for number, found in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        record: Record = {"id": f"{split}-{number}"}
        if session:
            personas = {who: [fact.translate(_ASCII) for fact in facts] for who, facts in found["meta"].items()}
            record = {"id": f"s{session[1]}-{found['id']}", "session": int(session[1]), "personas": personas}
        yield record | {"turns": _pairs(found["dialogue"])}


def _casino(file: Path, path: str) -> Iterator[Record]:
    for found in json.loads(file.read_text(encoding="utf-8")):
        logs = [log for log in found["chat_logs"] if not log["text"].endswith("-Deal") and log["text"] != "Walk-Away"]
        first = logs[0]["id"] if logs else ""
        said = ((("user" if log["id"] == first else "assistant"), log["text"]) for log in logs)
        yield {"id": str(found["dialogue_id"]), "turns": _turns(said)}


def _persona(file: Path, path: str) -> Iterator[Record]:
    split = Path(path).stem.rpartition("_")[2]
    rows = csv.reader(io.StringIO(file.read_text(encoding="utf-8"), newline=""))
    next(rows, None)
    for number, row in enumerate(rows):
        said = _SPEAKER.split(row[2])[1:]
        roles = ("user" if who == "1" else "assistant" for who in said[::2])
        yield {"id": f"{split}-{number}", "turns": _turns(zip(roles, said[1::2], strict=True))}


def _memory_bank(file: Path, path: str) -> Iterator[Record]:
    for name, person in json.loads(file.read_text(encoding="utf-8")).items():
        for day, lines in person["history"].items():
            yield {"id": f"{name}/{day}", "turns": _pairs([[line["query"], line["response"]] for line in lines])}


ORIGINALS: Final[dict[str, list[tuple[str, list[str], Records]]]] = {
    "msc": [("msc.valid", [f"data/msc/session-{number}-valid.json" for number in (2, 3, 4, 5)], _bench)],
    "wizard_of_wikipedia": [(f"wizard_of_wikipedia.{s}", [f"data/wow/{s}.json"], _bench) for s in ("valid", "test")],
    "wizard_of_internet": [(f"wizard_of_internet.{s}", [f"data/wit/{s}.json"], _bench) for s in ("valid", "test")],
    "casino": [("casino", ["data/split/casino_train.json"], _casino),
               ("casino.test", ["data/split/casino_test.json"], _casino)],
    "spc": [("spc.valid", ["data/Synthetic-Persona-Chat_valid.csv"], _persona)],
    "memorybank_en": [("memorybank_en", ["eval_data/en/memory_bank_en.json"], _memory_bank)],
}  # fmt: skip
"""For each corpus: the files it becomes, from which of the repository's, and how."""


def fetch_original(name: str, home: str, directory: Path, licence: str, say: Callable[[str], None]) -> None:
    """Make the corpus' files in ``directory`` from its repository ``home``, OWNER/REPOSITORY@COMMIT. Raises
    DataError."""
    repository, _, commit = home.partition("@")
    say(f"Fetching {name} from https://github.com/{repository} at {commit} ({licence}) …")
    found = _answer(f"{API}/{repository}/commits/{commit}")
    try:
        whole, tree = str(found["sha"]), found["commit"]["tree"]["sha"]
        if not whole.startswith(commit):
            raise DataError(f"{API}/{repository} names another commit than {commit}.")
        listed = _answer(f"{API}/{repository}/git/trees/{tree}?recursive=1")
        blobs = {entry["path"]: entry["sha"] for entry in listed["tree"] if entry["type"] == "blob"}
    except (KeyError, TypeError) as error:
        raise DataError(f"{API}/{repository} does not answer as GitHub does ({error!r}).") from error
    for stem, paths, records in ORIGINALS[name]:
        made = directory / f"{stem}.jsonl.xz"
        part = made.with_name(made.name + ".part")
        for path in paths:
            if path not in blobs:
                raise DataError(f"{repository} at {commit} has no {path}.")
            fetch(f"{RAW}/{repository}/{whole}/{path}", _kept(directory, path), Digest(blobs[path], of_git=True))
        with lzma.open(part, "wt", encoding="utf-8") as file:
            for path in paths:
                for record in records(_kept(directory, path), path):
                    file.write(json.dumps({"source": name, **record}, ensure_ascii=False) + "\n")
        part.replace(made)


def _kept(directory: Path, path: str) -> Path:
    return directory / "original" / path.replace("/", "-")


def _answer(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - from our own list
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(f"{url} cannot be had: the server says {error.code} {error.reason}.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{url} cannot be reached ({reason}). Try again, or give a directory with --data-dir."
        ) from error
