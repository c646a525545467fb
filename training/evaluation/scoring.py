"""Judges replies: does one name a value, does one admit not knowing, does one loop; and how sure a share is.

No model is asked. A reply *names* a value where the value's words stand in it in a row, whatever the case and the
punctuation. That is strict on paraphrase ("three" is not "3") and lenient on what stands around the value.
"""

from __future__ import annotations

import math
import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from training.data.synthetic.values import KINDS, with_article

LOOP_WORDS = 4
"""A reply that says a run of this many words twice is in a loop."""

_Z = 1.96


@dataclass(frozen=True)
class Score:
    """``right`` of ``total``. ``interval`` bounds the share at 95 % (Wilson 1927, "Probable inference", JASA 22).

    The interval takes answers for independent of each other; those from one person's memory are not quite.
    """

    right: int
    total: int

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> Score:
        rights = list(outcomes)
        return cls(sum(rights), len(rights))

    @property
    def share(self) -> float:
        return self.right / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        if not self.total:
            return 0.0, 1.0
        n, p = self.total, self.share
        centre = (p + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
        half = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
        return max(0.0, centre - half), min(1.0, centre + half)


def normalised(text: str) -> str:
    """Lower case, apostrophes and accents as typed on a plain keyboard, punctuation to spaces, spaces folded."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c)).replace("’", "'")
    return " ".join(re.sub(r"[^\w]+", " ", plain).split())


def names(reply: str, value: str) -> bool:
    """Whether the reply contains the whole value, as words; an article at its beginning may be missing. An empty value
    is never named."""
    wanted = normalised(value)
    wanted = re.sub(r"^(?:the|an?) (?=.)", "", wanted)
    return bool(wanted) and f" {wanted} " in f" {normalised(reply)} "


def names_any(reply: str, values: Iterable[str]) -> bool:
    """Whether the reply names one of the values."""
    return any(names(reply, value) for value in values)


_NEGATED = r"(?:don't|do not|dont|didn't|did not|haven't|have not|hasn't|can't|cannot|couldn't|never|not)"
ABSTENTIONS: tuple[str, ...] = (
    r"\bi (?:really |honestly |still |just )?(?:don't|do not|dont|didn't) (?:really |yet |actually )?"
    r"(?:know|remember|recall)\b",
    r"\b(?:i'm|i am) not (?:really |quite |too )?(?:sure|certain)\b",
    r"\bnot sure\b",
    rf"\byou (?:\w+ )?{_NEGATED} (?:\w+ )?(?:told|tell|said|say|mention\w*|share\w*)\b",
    rf"\b{_NEGATED} (?:think|believe|remember|recall) (?:that )?(?:you|we|i)(?:'ve| have|'d)? ?(?:ever |even )?"
    r"(?:told|telling|said|saying|mention\w*|know|talked|shar\w*|been)\b",
    r"\bi (?:can't|cannot|can not|couldn't) (?:really )?(?:remember|recall|say|tell)\b",
    r"\b(?:no|haven't any|have no) (?:idea|clue|memory|record)\b",
    r"\bi(?:'ve| have)? never (?:knew|known|heard|been told|learned)\b",
    r"\b(?:i haven't|i have not|i wasn't|i was not|i've not) (?:been )?(?:told|heard|learned)\b",
    r"\bi (?:forgot|have forgotten|don't have that|don't have any)\b",
    r"\b(?:that|it)(?:'s| is) not something (?:you|i)\b",
)
"""What counts as admitting not to know (regular expressions on lower case with plain apostrophes)."""

_ADMITS = re.compile("|".join(f"(?:{pattern})" for pattern in ABSTENTIONS))


def admits(reply: str) -> bool:
    """Whether the reply says that it does not know (one of ``ABSTENTIONS``)."""
    return _ADMITS.search(reply.casefold().replace("’", "'")) is not None


@cache
def _sample_of(kind: str) -> tuple[str, ...]:
    """Values of a kind, normalised: all of the kinds that are lists, many of those that are made up."""
    rng = random.Random(kind)
    make = KINDS[kind]
    return tuple(sorted({normalised(make(rng)) for _ in range(2000)}))


_NO_NAME = frozenset({"i", "i'm", "i've", "i'll", "i'd", "varda", "ok", "okay"})


def makes_up(reply: str, question: str, kind: str | None = None) -> bool:
    """Whether the reply gives a value although it knows none: a value of ``kind``, a name in the middle of a sentence,
    or a number. What the question says itself does not count."""
    asked = f" {normalised(question)} "
    said = f" {normalised(reply)} "
    if kind is not None and any(f" {value} " in said and f" {value} " not in asked for value in _sample_of(kind)):
        return True
    for match in re.finditer(r"(?<![.!?]\s)(?<![.!?]\s\s)(?<=[\w,;:]\s)[A-Z][\w'’-]*", reply):
        word = match[0].casefold().replace("’", "'")
        if word not in _NO_NAME and f" {normalised(word)} " not in asked:
            return True
    return any(f" {number} " not in asked for number in re.findall(r"\d+", reply))


def honest(reply: str, question: str, known: Sequence[str], kind: str | None = None) -> bool:
    """Whether a reply to what was never told is right: admits it, and names neither a value that this person told
    (``known``) nor one that it makes up."""
    told = [value for value in known if not names(question, value)]
    return admits(reply) and not names_any(reply, told) and not makes_up(reply, question, kind)


def loops(reply: str, words: int = LOOP_WORDS) -> bool:
    """Whether some run of ``words`` words stands in the reply twice (the two may overlap)."""
    said = normalised(reply).split()
    runs = [tuple(said[i : i + words]) for i in range(len(said) - words + 1)]
    return len(set(runs)) < len(runs)


def span_of(text: str, value: str) -> tuple[int, int] | None:
    """(start, end) characters of the value in ``text``, whatever the case; None where it is not there as written."""
    for form in (with_article(value), value):
        match = re.search(rf"(?<!\w){re.escape(form)}(?!\w)", text, re.IGNORECASE)
        if match:
            return match.end() - len(value), match.end()
    return None
