"""Every corpus that can be named, its files, licence and where it is from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from training.data.sources.corpora import CORPORA, dialogue_of
from training.data.sources.documents import PERSONA_CORPUS, BadLines, Document, Split
from training.data.sources.own_text import alternating
from training.data.sources.records import records
from varda_chat.errors import DataError

Kind = Literal["dialogue", "text", "wikitext"]


@dataclass(frozen=True)
class Named:
    """A corpus. files: names without ``.jsonl.xz``, each with its official split; None: to be split by us.

    home: where it was gathered from, ``OWNER/REPOSITORY@COMMIT``. weight, about_people: as ``corpora.Corpus``.
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

    def paths(self, folder: Path) -> list[tuple[Path, Split | None]]:
        return [(folder / f"{stem}{self.suffix}", split) for stem, split in self.files]


_OPEN: Final = None
_GUTENBERG = "public domain in the US (Project Gutenberg)"
_BOOKS = "Authors as in each record; texts via Project Gutenberg"
_STANDARD = "public domain in the US, CC0 (Standard Ebooks)"
_STANDARD_BY = "Authors as in each record; Standard Ebooks (standardebooks.org)"
_OFFICIAL: Final[dict[str, Split]] = {"": "train", ".valid": "validation", ".test": "test"}


def _official(stem: str) -> tuple[tuple[str, Split | None], ...]:
    return tuple((stem + end, split) for end, split in _OFFICIAL.items())


def _whole(*stems: str) -> tuple[tuple[str, Split | None], ...]:
    return tuple((stem, _OPEN) for stem in stems)


_CHAT_HOMES: Final = {
    "msc": "andreamad8/FSB@a81593590189",
    "spc": "google-research-datasets/Synthetic-Persona-Chat@1f367a0f05d3",
    "personachat": "andreamad8/FSB@a81593590189",
    "self_dialogue": "jfainberg/self_dialogue_corpus@113a1b0ff103",
    "topical_chat": "alexa/Topical-Chat@7c939229cbcf",
    "wizard_of_wikipedia": "andreamad8/FSB@a81593590189",
    "wizard_of_internet": "andreamad8/FSB@a81593590189",
    "casino": "kushalchawla/CaSiNo@2f6ed4a6a551",
    "memorybank_en": "zhongwanjun/MemoryBank-SiliconFriend@cf61c4196e4c",
    "ms_personality_chat": "microsoft/botframework-cli@9fa25c6cef41",
}
_CHAT_TESTS: Final = {"topical_chat", "wizard_of_wikipedia", "wizard_of_internet", "casino"}
"""Those whose official test split has a file of its own."""

_CHAT = tuple(
    Named(
        c.name, "dialogue", (*_whole(*c.files), *(((f"{c.name}.test", "test"),) if c.name in _CHAT_TESTS else ())),
        c.licence, c.attribution, _CHAT_HOMES[c.name], c.weight, c.about_people,
    )
    for c in CORPORA
)  # fmt: skip

WIKITEXT: Final = Named(
    "wikitext-2", "wikitext",
    (("wikitext2_raw.train", "train"), ("wikitext2_raw.valid", "validation"), ("wikitext2_raw.test", "test")),
    "CC BY-SA 3.0, GFDL", "WikiText-2: Merity, Xiong, Bradbury, Socher (2016); text by Wikipedia's contributors",
    "pytorch/examples@77f55b912142", about_people=True, suffix=".txt.xz",
)  # fmt: skip

NAMED: Final[dict[str, Named]] = {
    named.name: named
    for named in (
        WIKITEXT,
        *_CHAT,
        Named("persuasion_for_good", "dialogue", _whole("persuasion_for_good"), "Apache 2.0",
              "Persuasion for Good: Wang et al. (ACL 2019)", "Sea-Snell/persuasionforgood@2c304e7036bd"),
        Named("chatterbot_english", "dialogue", _whole("chatterbot_english"), "BSD-3-Clause",
              "ChatterBot corpus: Gunther Cox", "gunthercox/chatterbot-corpus@a01efece2666"),
        Named("fun_dialogues", "dialogue", _whole("fun_dialogues"), "Apache 2.0", "fun dialogues: Eduardo Alvarez",
              "eduand-alvarez/fun-dialogues@4bf825dcbce5"),
        Named("accentor_sgd", "dialogue", _official("accentor_sgd"), "CC BY-SA 4.0",
              "ACCENTOR: Sun et al. (Facebook, 2020), on SGD: Rastogi et al. (Google)",
              "facebookresearch/accentor@142299dfe8d7"),
        Named("sgd", "dialogue", _official("sgd"), "CC BY-SA 4.0",
              "Schema-Guided Dialogue: Rastogi et al. (Google, 2020)",
              "google-research-datasets/dstc8-schema-guided-dialogue@e852981ae349"),
        Named("star", "dialogue", _whole("star"), "MIT", "STAR: Mosig, Mehri, Kober (Rasa, 2020)",
              "RasaHQ/STAR@3058975092cd"),
        Named("multiwoz", "dialogue", (("multiwoz.valid", _OPEN), ("multiwoz.test", "test")), "MIT",
              "MultiWOZ 2.1: Budzianowski et al.", "ConvLab/ConvLab-2@1b884d767367"),
        Named("taskmaster4", "dialogue", _whole("taskmaster4"), "CC BY 4.0",
              "Taskmaster-4: Byrne, Ganesh (Google, 2024)", "google-research-datasets/Taskmaster@d92cb6af3005"),
        Named("taskmaster3_part", "dialogue", _whole("taskmaster3_part"), "CC BY 4.0",
              "TicketTalk: Byrne, Krishnamoorthi, Ganesh (Google, 2020)",
              "google-research-datasets/Taskmaster@d92cb6af3005"),
        Named("standardebooks_dialogue", "dialogue", _whole("standardebooks_dialogue"), _STANDARD, _STANDARD_BY,
              "standardebooks/philip-k-dick_short-fiction@e423075ad132"),
        Named("fiction_dialogue_a", "dialogue", _whole("fiction_dialogue_a"), _GUTENBERG, _BOOKS,
              "rcdm-uga/Gutenberg_Text@a0b16d35a985"),
        Named("fiction_dialogue_b", "dialogue", _whole("fiction_dialogue_b"), _GUTENBERG, _BOOKS,
              "rcdm-uga/Gutenberg_Text@a0b16d35a985"),
        Named("eltec_dialogue", "dialogue", _whole("eltec_dialogue"), "public domain (markup CC BY 4.0)",
              "COST Action ELTeC, English collection", "COST-ELTeC/ELTeC-eng@3db3b6738a83"),
        Named("play_dialogue", "dialogue", _whole("play_dialogue"), _GUTENBERG, _BOOKS,
              "rcdm-uga/Gutenberg_Text@a0b16d35a985"),
        replace(WIKITEXT, name="wikitext2", kind="text", files=_official("wikitext2"), suffix=".jsonl.xz",
                home="kzhai/Porch@6347c88fd6b2"),
        Named("gutenberg_stories", "text", _whole("gutenberg_stories"), _GUTENBERG, _BOOKS,
              "rcdm-uga/Gutenberg_Text@a0b16d35a985"),
        Named("standardebooks_prose", "text", _whole("standardebooks_prose"), _STANDARD, _STANDARD_BY,
              "standardebooks/philip-k-dick_short-fiction@e423075ad132"),
        Named("storybooks_cc_by", "text", _whole("storybooks_cc_by"), "CC BY 4.0 (some public domain)",
              "Pratham Books, African Storybook; authors per record", "global-asp/pb-source@9ea530dfb001"),
        Named("tinystories_fragments", "text", _whole("tinystories_fragments"), "CDLA-Sharing 1.0",
              "TinyStories: Eldan, Li (Microsoft Research, 2023)", "s-ajaykumar/smallGPT@b8b899265a55"),
    )
}  # fmt: skip


def named_documents(named: Named, files: list[tuple[Path, Split | None]], bad: BadLines) -> Iterator[Document]:
    """The documents of a corpus in its ``files``, each with its official split."""
    if named.kind == "wikitext":
        from training.data.sources.wikitext import articles

        for path, split in files:
            for number, text in enumerate(articles(path, bad)):
                yield Document(f"{split}-{number}", text, split=split, key=f"{split}-{number}")
    elif named.name == PERSONA_CORPUS:
        yield from _joined_sessions(named, files, bad)
    else:
        for path, split in files:
            for number, record in records(path, bad):
                try:
                    document = _document(named, record, split)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    bad.note(path, number, f"not a record of {named.name} ({error!r})")
                    continue
                if document is not None:
                    yield document


def _document(named: Named, record: dict[str, object], split: Split | None) -> Document | None:
    identity = str(record["id"])
    if named.kind == "text":
        text = record["text"]
        if not isinstance(text, str) or not text.strip():
            raise ValueError("no text")
        return Document(identity, text.strip(), split=split, key=identity)
    dialogue = dialogue_of(named.name, record)
    turns = alternating(dialogue.turns) if dialogue is not None else ()
    return Document(identity, turns=turns, split=split, key=identity) if turns else None


def _joined_sessions(named: Named, files: list[tuple[Path, Split | None]], bad: BadLines) -> Iterator[Document]:
    """One document for each pair of people: their sessions, ``s2-valid_102`` being session 2 of pair 102, in order."""
    pairs: dict[str, list[tuple[str, Document]]] = {}
    each = replace(named, name=f"{named.name} sessions")
    for document in named_documents(each, files, bad):
        pairs.setdefault(document.id.rpartition("_")[2], []).append((document.id, document))
    for key, sessions in pairs.items():
        turns = tuple(turn for _, document in sorted(sessions, key=lambda s: s[0]) for turn in document.turns)
        yield Document(key, turns=alternating(turns), split=sessions[0][1].split, key=key)


def find(name: str) -> Named | None:
    """The corpus of that name, in whichever case, with hyphens for underscores or the other way round."""
    by_plain = {plain(known): named for known, named in reversed(NAMED.items())}
    return NAMED.get(name) or by_plain.get(plain(name))


def plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


@dataclass(frozen=True)
class Located:
    """A named corpus with the files it is read from."""

    named: Named
    files: list[tuple[Path, Split | None]] = field(default_factory=list)


def in_folder(named: Named, folder: Path) -> Located:
    """The corpus in ``folder``; raises DataError naming the file that is missing."""
    found = named.paths(folder)
    for path, _ in found:
        if not path.exists():
            raise DataError(f"Corpus {named.name}: {path} is missing.")
    return Located(named, found)
