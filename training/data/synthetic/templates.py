"""Builds relations from clauses: say a fact once ("my dog is called {value}"), get all its tellings.

Promises: every relation made here has at least the number of templates that training counts on; the choice of
wordings is fixed by the relation's name; held-out wordings are never used for the seen templates.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from training.data.synthetic.values import with_article
from training.data.synthetic.wordings import WORDINGS, one_word

V: Final = "{value}"
A: Final = "{a_value}"


@dataclass(frozen=True)
class Clauses:
    """What the templates of a relation are wrapped around. ``say``: "my dog is called {value}"; ``answer``: the same
    said to the user; ``ask``: "what is my dog called"; ``about``: "what my dog is called", for "Do you know ..."."""

    say: tuple[str, ...]
    answer: tuple[str, ...]
    ask: tuple[str, ...]
    about: tuple[str, ...]


@dataclass(frozen=True)
class Relation:
    """One kind of fact about the user, with all the ways it is told, asked for, corrected and forgotten.

    topic: what it is about; relations that the same answer would fit share it. own_words: share of tellings and
    questions that are sentences of its own; the others are its clauses in any wording. near: questions that come near
    to it, and that it does not answer; near_end: requests and corrections that come near, and leave it as it is.
    """

    name: str
    kind: str
    topic: str
    tell: tuple[str, ...]
    ask: tuple[str, ...]
    answer: tuple[str, ...]
    correct: tuple[str, ...]
    forget: tuple[str, ...]
    unknown: tuple[str, ...]
    acknowledge: tuple[str, ...]
    tell_held_out: tuple[str, ...]
    ask_held_out: tuple[str, ...]
    correct_held_out: tuple[str, ...]
    forget_held_out: tuple[str, ...]
    clauses: Clauses
    changes: bool
    own_words: float = 0.55
    near: tuple[str, ...] = ()
    near_end: tuple[str, ...] = ()


def render(template: str, value: str) -> str:
    """The template with the value in its place, with an article where the template wants one."""
    return template.replace(A, with_article(value)).replace(V, value)


# In the wordings, {s} is the clause as said ("my dog is called ..."), {S} the same with a capital letter,
# {q} and {Q} the question, {w} what is asked about ("what my dog is called").

# An answer and an abstention never begin alike: greedy decoding chooses between them by one token, after the question,
# where the memory is read. "I remember that ..." and "I don't know ..." shared it, and known facts were denied.
ABSTENTION: Final = "I don't "

_YOURS: Final = one_word("yours")
_MINE: Final = re.compile(
    r"(?<!\{)\b(" + "|".join(sorted(map(re.escape, _YOURS), key=len, reverse=True)) + r")\b(?!')",
    re.IGNORECASE,
)


ANSWERED: Final = 2
"""Ways of saying a fact, the first ones, that also make its answers and corrections."""


def yours(text: str) -> str:
    """The same said to the user: "my dog" becomes "your dog", "where am I" becomes "where are you"."""

    def swap(match: re.Match[str]) -> str:
        mine = match[0]
        other = _YOURS[mine.lower()]
        starts = match.start() == 0 or text[: match.start()].endswith((". ", "? ", "! "))
        return _capital(other) if starts and mine[0].isupper() and mine[0] != "I" else other

    return _MINE.sub(swap, text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fill(wording: str, *, s: str = "", q: str = "", w: str = "") -> str:
    slots = {"{s}": s, "{S}": _capital(s), "{q}": q, "{Q}": _capital(q), "{w}": w}
    return _capital_if(wording, re.sub(r"\{[sSqQw]\}", lambda match: slots[match[0]], wording))


def _capital_if(wording: str, text: str) -> str:
    return _capital(text) if wording.startswith(("{S}", "{Q}")) else text


def _wrap(
    rng: random.Random,
    pool: Sequence[str],
    count: int,
    *,
    says: Sequence[str] = ("",),
    asks: Sequence[str] = ("",),
    abouts: Sequence[str] = ("",),
) -> list[str]:
    start = rng.randrange(60)
    return [
        _fill(
            wording,
            s=says[(start + i) % len(says)],
            q=asks[(start + i) % len(asks)],
            w=abouts[(start + i) % len(abouts)],
        )
        for i, wording in enumerate(rng.sample(pool, count))
    ]


def _unique(*groups: Iterable[str], without: Iterable[str] = ()) -> tuple[str, ...]:
    barred = set(without)
    return tuple(text for text in dict.fromkeys(t for group in groups for t in group) if text not in barred)


def relation(
    name: str,
    kind: str,
    say: Sequence[str],
    ask: Sequence[str],
    about: Sequence[str],
    *,
    tell: Sequence[str] = (),
    more_ask: Sequence[str] = (),
    correct: Sequence[str] = (),
    unknown: Sequence[str] = (),
    acknowledge: Sequence[str] = (),
    changes: bool = True,
) -> Relation:
    """A relation from clauses without capital or full stop.

    `say`: "my dog is called {value}"; the first two of them also make the answers. `ask`: "what is
    my dog called" (no question mark). `about`: "what my dog is called", fit for "Do you know ...". `tell`,
    `more_ask`, `correct`, `unknown`, `acknowledge`: finished sentences of this relation's own. `changes`: the
    fact can change in life (a birthday cannot, it can only have been told wrongly).
    """
    rng = random.Random(name)
    answers = [yours(s) for s in say[:ANSWERED]]
    your_asks, your_abouts = [yours(q) for q in ask], [yours(w) for w in about]
    return Relation(
        name=name,
        kind=kind,
        topic=name,
        tell=_unique([f"{_capital(s)}." for s in say], [say[0]], _wrap(rng, WORDINGS["tell"], 6, says=say), tell),
        ask=_unique(
            [f"{_capital(q)}?" for q in ask], [ask[0]], _wrap(rng, WORDINGS["ask"], 6, asks=ask, abouts=about), more_ask
        ),
        answer=_unique([f"{_capital(s)}." for s in answers], _wrap(rng, WORDINGS["answer"], 2, says=answers)),
        correct=_unique(
            _wrap(rng, WORDINGS["mistake"], 3, says=say[:ANSWERED]),
            _wrap(rng, WORDINGS["change"], 2, says=say[:ANSWERED]) if changes else (),
            correct,
        ),
        forget=_unique(_wrap(rng, WORDINGS["forget"], 4, abouts=about)),
        unknown=_unique(
            _wrap(rng, WORDINGS["unknown"], 3, asks=your_asks, abouts=your_abouts),
            unknown,
        ),
        acknowledge=_unique(acknowledge, rng.sample(WORDINGS["thanks"], 3)),
        tell_held_out=_unique(_wrap(rng, WORDINGS["tell_held_out"], 3, says=say)),
        ask_held_out=_unique(_wrap(rng, WORDINGS["ask_held_out"], 3, asks=ask, abouts=about)),
        correct_held_out=_unique(_wrap(rng, WORDINGS["correct_held_out"], 2, says=say[:ANSWERED])),
        forget_held_out=_unique(_wrap(rng, WORDINGS["forget_held_out"], 2, abouts=about)),
        clauses=Clauses(tuple(say), tuple(answers), tuple(ask), tuple(about)),
        changes=changes,
    )


def draw_tell(relation: Relation, rng: random.Random) -> str:
    """A way to tell the fact: one of its own, or one of its clauses in any wording."""
    if rng.random() < relation.own_words:
        return rng.choice(relation.tell)
    return _fill(rng.choice(WORDINGS["tell"]), s=rng.choice(relation.clauses.say))


def draw_ask(relation: Relation, rng: random.Random) -> str:
    """A way to ask for the fact: one of its own, or one of its clauses in any wording."""
    if rng.random() < relation.own_words:
        return rng.choice(relation.ask)
    return _fill(rng.choice(WORDINGS["ask"]), q=rng.choice(relation.clauses.ask), w=rng.choice(relation.clauses.about))


def draw_correct(relation: Relation, rng: random.Random) -> str:
    """A way to correct the fact."""
    if rng.random() < 0.5:
        return rng.choice(relation.correct)
    pool = WORDINGS["change"] if relation.changes and rng.random() < 0.5 else WORDINGS["mistake"]
    return _fill(rng.choice(pool), s=rng.choice(relation.clauses.say[: len(relation.clauses.answer)]))


def draw_forget(relation: Relation, rng: random.Random) -> str:
    """A way to ask for the fact to be forgotten."""
    request = rng.choice(WORDINGS["forget"]) if rng.random() < 0.3 else draw_request(rng)
    return _fill(request, w=rng.choice(relation.clauses.about))


def draw_request(rng: random.Random) -> str:
    """A way to ask for {w} to be forgotten. The wordings kept for the benchmark are not among them."""
    if rng.random() < 0.4:
        return rng.choice(WORDINGS["forget_sentence"])
    parts = ("forget_opening", "forget_request", "forget_ending")
    text = "".join(rng.choice(WORDINGS[part]) for part in parts)
    return text if rng.random() < 0.2 else text[0].upper() + text[1:]
