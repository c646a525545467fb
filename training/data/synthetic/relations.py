"""All relations of a user's life that training tells, asks, corrects and forgets.

``relations.jsonl`` names them, ``families.jsonl`` holds what those of one family have in common, ``phrasings.jsonl``
further ways to tell and to ask; README.md describes all three.

Promises: names are unique; every template that needs a value has exactly one placeholder ({value} or
{a_value}) and no other template has any; held-out phrasings are not among the seen ones.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from training.data.synthetic.everyday import load_everyday
from training.data.synthetic.templates import ABSTENTION, Relation, relation, render
from training.data.synthetic.values import KINDS, draw, with_article
from training.data.synthetic.wordings import HERE, WORDS
from training.tables import check_keys, read_table, texts

__all__ = ["ALL_RELATIONS", "RELATIONS", "Relation", "fact_texts", "relatives", "render"]

_WITH_VALUE: Final = ("say", "tell", "correct")
_WITHOUT_VALUE: Final = ("ask", "about", "more_ask", "unknown", "acknowledge")
_TEXTS: Final = (*_WITH_VALUE, *_WITHOUT_VALUE)
_KEYS: Final = ("family", "kind", "words", "changes", *_TEXTS)


@dataclass
class _Named:
    """A relation with the words for the slots of its phrasings, and the phrasings found for it so far."""

    relation: Relation
    words: dict[str, str]
    tell: list[str] = field(default_factory=list)
    ask: list[str] = field(default_factory=list)

    def whole(self) -> Relation:
        found = self.relation
        return replace(
            found,
            tell=tuple(dict.fromkeys((*found.tell, *self.tell))),
            ask=tuple(dict.fromkeys((*found.ask, *self.ask))),
        )


def load_relations(directory: Path = HERE) -> tuple[Relation, ...]:
    """The relations of the tables in ``directory``, in order. Raises DataError naming file and line of a bad entry."""
    families = dict(read_table(directory / "families.jsonl", _family))
    named: dict[str, _Named] = {}

    def add_relation(record: dict[str, Any]) -> None:
        check_keys(record, ("name", *_KEYS))
        if record["name"] in named:
            raise ValueError(f"the name {record['name']!r} has been given before")
        named[record["name"]] = _named(record, families[record["family"]] if "family" in record else {})

    def add_phrasings(record: dict[str, Any]) -> None:
        check_keys(record, ("relations", "tell", "ask"))
        tell, ask = texts(record, "tell"), texts(record, "ask")
        for name in texts(record, "relations"):
            if name not in named:
                raise ValueError(f"there is no relation {name!r}")
            one = named[name]
            one.tell += _checked(_phrased(tell, one.words, len(one.tell)), 1)
            one.ask += _checked(_phrased(ask, one.words, len(one.ask)), 0)

    read_table(directory / "relations.jsonl", add_relation)
    read_table(directory / "phrasings.jsonl", add_phrasings)
    return tuple(one.whole() for one in named.values())


def _family(record: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    check_keys(record, _KEYS)
    for key in _TEXTS:
        texts(record, key)
    return record["family"], record


def _named(record: dict[str, Any], family: dict[str, Any]) -> _Named:
    """The relation of ``record``: what its family has, then what it has itself."""
    words = {**family.get("words", {}), **record.get("words", {})}
    words = {slot: _filled(word, words) for slot, word in words.items()}
    kind = record.get("kind") or family["kind"]
    if kind not in KINDS:
        raise ValueError(f"there is no kind of value {kind!r}")
    found = {key: [_filled(text, words) for text in (*texts(family, key), *texts(record, key))] for key in _TEXTS}
    for key in _TEXTS:
        _checked(found[key], int(key in _WITH_VALUE))
    for text in found["unknown"]:
        if not text.startswith(ABSTENTION):
            raise ValueError(f"an abstention begins with {ABSTENTION!r}, unlike {text!r}")
    for key in ("say", "ask", "about"):
        if not found[key]:
            raise ValueError(f"{key!r} is empty")
    changes = record.get("changes", family.get("changes", True))
    return _Named(relation(record["name"], kind, **found, changes=changes), words)


def _checked(templates: Sequence[str], values: int) -> Sequence[str]:
    for text in templates:
        if len(re.findall(r"\{(?:a_)?value\}", text)) != values:
            raise ValueError(f"{'one value is' if values else 'no value is'} wanted in {text!r}")
    return templates


def _filled(template: str, words: dict[str, str]) -> str:
    """The template with ``words`` in its slots: {noun}, {a_noun} with an article, {Noun} with a capital letter."""

    def word(match: re.Match[str]) -> str:
        slot = match[1]
        if slot in ("value", "a_value"):
            return match[0]
        if slot.startswith("a_"):
            return with_article(words[slot.removeprefix("a_")])
        found = words[slot.lower()]
        return found[:1].upper() + found[1:] if slot[0].isupper() else found

    return re.sub(r"\{(\w+)\}", word, template)


def _phrased(templates: Sequence[str], words: dict[str, str], first: int) -> list[str]:
    """The templates filled, as numbers ``first`` and on: {short} is another word for the noun, each in its turn."""
    noun = words.get("noun", "")
    shorts = WORDS["other"].get(noun, (noun,))
    return [_filled(text, {**words, "short": shorts[n % len(shorts)]}) for n, text in enumerate(templates, first)]


RELATIONS: Final = load_relations()
"""Every relation that is made from clauses: those that the benchmark's templates are drawn from."""
ALL_RELATIONS: Final = (*RELATIONS, *load_everyday())
"""Every relation that training tells and asks for."""


def fact_texts(seed: int, count: int = 40_000) -> Iterator[str]:
    """Sentences about facts, for the tokenizer."""
    rng = random.Random(seed)
    for _ in range(count):
        relation = rng.choice(RELATIONS)
        templates = rng.choice((relation.tell, relation.ask, relation.answer, relation.correct, relation.unknown))
        yield render(rng.choice(templates), draw(relation.kind, "train", rng))


_SAME_SORT: Final = (
    ("female_name", "male_name", "person_name", "full_name", "titled_name", "doctor_name"),
    ("film_title", "book_title", "song_title", "band"),
    ("number", "code", "password", "phone", "shoe_size", "age", "year"),
    ("food", "dessert", "flavour", "drink", "coffee", "fruit"),
    ("weekday_time", "clock_time", "date"),
    ("city", "country", "street_address", "hiding_place"),
    ("job", "company", "school", "school_subject"),
)


@cache
def relatives(name: str) -> tuple[Relation, ...]:
    """Relations that are easily taken for the named one: of the same sort of value, or about the same person."""
    named = next(relation for relation in ALL_RELATIONS if relation.name == name)
    kind, about = named.kind, named.topic.rpartition("_")[0]
    sort = next((sort for sort in _SAME_SORT if kind in sort), (kind,))
    return tuple(
        other
        for other in ALL_RELATIONS
        if other.topic != named.topic and (other.kind in sort or (about and other.topic.startswith(f"{about}_")))
    )
