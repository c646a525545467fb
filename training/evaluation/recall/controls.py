"""Controls: what the same questions give without the memory, with a wrong one, a fuller one, or with text instead.

- ``no-memory``: the model reads nothing.
- ``shuffled-memory``: it reads another person's memory, one that told none of the same values.
- ``store-everything``: a memory of every token that the user said.
- ``random-store``: as many random ones of these as the model itself stored.
- ``facts-in-prompt``: no memory; the person's facts stand before the question in the prompt, as the turns they were
  (an oracle: nothing had to be found).
- ``text-search``: no memory; of all that the person said, small talk too, the two lines that BM25 finds nearest to the
  question stand before it in the same way.

Where the turns do not fit into the window, the first of them are left out, never the question.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from training.evaluation.recall.reading import ReadToken, as_statements, read_session, room
from training.evaluation.recall.telling import GREEDY, Person, open_store, questioning
from training.evaluation.scoring import names_any
from varda_chat.config.installer import install_command
from varda_chat.errors import VardaError
from varda_chat.memory import TurnChanges
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.models.generation import generate_reply
from varda_chat.text import sanitize

Control = Literal[
    "no-memory", "shuffled-memory", "store-everything", "random-store", "facts-in-prompt", "text-search"
]  # fmt: skip
CONTROLS: tuple[Control, ...] = get_args(Control)
LINES_FOUND = 2
"""Lines that the text search puts into the prompt."""

Ask = Callable[[str], str]
Said = tuple[str, str]
"""A user's message and the reply it had."""


@contextmanager
def asking(
    control: Control, checkpoint: Checkpoint, people: Sequence[Person], number: int, scratch: Path, seed: int
) -> Iterator[Ask]:
    """A function that asks person ``number`` of ``people`` one question under ``control`` and returns the reply.

    ``scratch``: a directory for the memories that a control needs.
    """
    person = people[number]
    if control == "no-memory":
        with questioning(checkpoint, person.directory, use_memory=False) as ask:
            yield ask
    elif control == "shuffled-memory":
        with questioning(checkpoint, somebody_else(people, number).directory) as ask:
            yield ask
    elif control in ("store-everything", "random-store"):
        directory = scratch / control / str(number)
        budget = vectors_held(checkpoint, person) if control == "random-store" else None
        store_blindly(checkpoint, person, directory, budget, random.Random(f"{seed}/{number}"))
        with questioning(checkpoint, directory) as ask:
            yield ask
    elif control == "facts-in-prompt":
        facts = [(turn.prompt, turn.reply) for line, turn in person.told if line.values]
        yield lambda question: reply_after(checkpoint, facts, question)
    else:
        search = text_search([(turn.prompt, turn.reply) for _, turn in person.told])
        yield lambda question: reply_after(checkpoint, search(question), question)


def somebody_else(people: Sequence[Person], number: int) -> Person:
    """The next person after ``number`` who told none of the same values (the next one at all, if all did)."""
    others = [*people[number + 1 :], *people[:number]]
    values = people[number].script.values
    unlike = (p for p in others if not any(names_any(line.text, values) for line in p.script.lines))
    return next(unlike, others[0])


def vectors_held(checkpoint: Checkpoint, person: Person) -> int:
    """Vectors in a person's memory."""
    with open_store(checkpoint, person.directory, read_only=True) as store:
        return store.size


def store_blindly(
    checkpoint: Checkpoint, person: Person, directory: Path, budget: int | None, rng: random.Random
) -> None:
    """Fill a new memory in ``directory`` with the tokens of what the person said: all, or ``budget`` random ones."""
    tokens: list[ReadToken] = []
    for session in person.sessions:
        first = tokens[-1].message + 1 if tokens else 0
        tokens += read_session(checkpoint, [(turn.prompt, turn.reply) for _, turn in session], first)
    if budget is not None:
        places = sorted(rng.sample(range(len(tokens)), min(budget, len(tokens))))
        tokens = [tokens[place] for place in places]
    with open_store(checkpoint, directory) as store:
        store.apply(TurnChanges(stores=as_statements(tokens)), session="control")


def text_search(said: Sequence[Said]) -> Callable[[str], list[Said]]:
    """A function from a question to the LINES_FOUND turns whose messages BM25 ranks highest, in the order they were
    said. Raises VardaError where the library is not installed."""
    bm25s = load_bm25s()
    found_at_most = min(LINES_FOUND, len(said))
    index = bm25s.BM25()
    index.index(search_words([text for text, _ in said]), show_progress=False)

    def search(question: str) -> list[Said]:
        places, _ = index.retrieve(search_words([question]), k=found_at_most, show_progress=False)
        return [said[place] for place in sorted(int(place) for place in places[0])]

    return search


def search_words(texts: list[str]) -> Any:
    """The words of each text as BM25 sees them: lower case, without English stop words."""
    return load_bm25s().tokenize(texts, stopwords="en", show_progress=False, return_ids=False)


def check_text_search() -> None:
    """Raises VardaError, with what to do, where the text search's library is not installed."""
    load_bm25s()


def load_bm25s() -> Any:
    """The library bm25s. Raises VardaError, with what to do, where it is not installed."""
    try:
        import bm25s
    except ImportError as error:
        raise VardaError(
            f"The control text-search needs the library bm25s: {install_command('varda-chat[bench]')}, or name the "
            "other controls with --controls."
        ) from error
    return bm25s


def prompt_of(checkpoint: Checkpoint, turns: Sequence[Said], question: str) -> list[int]:
    """Token ids of the latest ``turns`` that fit, the question, and the assistant's role token."""
    chat = checkpoint.chat
    message = chat.encode("user", question)
    header, asking = message.ids[: message.header], message.ids[message.header :]
    asked = [*header, *asking[-(room(checkpoint) - len(header) - len(chat.opening) - len(chat.reply_prompt)) :]]
    asked += chat.reply_prompt
    before: list[int] = []
    for text, reply in reversed(turns):
        ids = chat.encode("user", text).ids + chat.encode("assistant", reply).ids
        if len(chat.opening) + len(ids) + len(before) + len(asked) > room(checkpoint):
            break
        before = ids + before
    return [*chat.opening, *before, *asked]


def reply_after(checkpoint: Checkpoint, turns: Sequence[Said], question: str) -> str:
    """The reply to ``question`` after ``turns``, without any memory."""
    ids = generate_reply(checkpoint.model, checkpoint.chat, prompt_of(checkpoint, turns, question), None, GREEDY)
    return sanitize(checkpoint.chat.decode(ids)).strip()
