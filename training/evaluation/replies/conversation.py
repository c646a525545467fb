"""How sensible everyday replies are: ``varda-eval CHECKPOINT conversation``.

120 prompts of twelve kinds are asked in an empty memory and in one that holds thirty facts, with three seeds. Each is
the first line of a session over a copy of the memory, so no prompt changes what another one meets. A reply is
acceptable where it matches a wanted pattern (or the answer) and nothing about it is *never* right: an unwanted pattern
such as a farewell to a hello, a value from memory that nobody asked for, a word that is none, or a loop.

Patterns are regular expressions, searched in the reply in lower case with plain apostrophes. They are a coarse net: the
file written by ``--exchanges`` is there to be read by eye.
"""

from __future__ import annotations

import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from training.data.sources.corpora import CORPORA, read_dialogues
from training.data.synthetic.relations import ALL_RELATIONS
from training.data.synthetic.values import KINDS
from training.evaluation import DATA
from training.evaluation.recall.telling import open_store
from training.evaluation.scoring import loops, names_any
from training.tables import read_items
from varda_chat.config.defaults import GenerationSettings
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.session.session import ChatSession

SEEDS = (0, 1, 2)
INCOGNITO = "incognito"
"""The kind of prompts that are said in an incognito session."""
NUMERIC = "arithmetic"
"""The kind of prompts where any other number than the answer is wrong."""

MemoryState = Literal["empty", "full"]
STATES: tuple[MemoryState, ...] = ("empty", "full")
Fault = Literal["unwanted", "value from memory", "torn word", "loop", "empty reply", "wrong number"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Kind:
    """A kind of prompt. ``storable``: whether a memory may keep something of such a line."""

    kind: str
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    storable: bool


@dataclass(frozen=True)
class Prompt:
    """``answer``: a pattern for the right answer, where there is one; ``wanted`` and ``unwanted`` add to the kind's."""

    kind: str
    text: str
    answer: str | None = None
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Memory:
    """A line of the full memory and the value that only this line holds."""

    text: str
    value: str


@dataclass(frozen=True)
class Reply:
    """A prompt and its reply. ``fault``: what is never right about it, None for nothing; ``right``: it gives the
    answer, None where the prompt has none. ``recalled``, ``stored``, ``deleted``: statements, as the turn says."""

    kind: str
    state: MemoryState
    seed: int
    prompt: str
    reply: str
    acceptable: bool
    right: bool | None
    fault: Fault | None
    detail: str
    recalled: tuple[str, ...]
    stored: tuple[str, ...]
    deleted: tuple[str, ...]


@dataclass(frozen=True)
class Conversation:
    """All replies of a run. ``kinds``: the kinds by name, in the order of their file."""

    replies: tuple[Reply, ...]
    kinds: dict[str, Kind]
    notices: tuple[str, ...] = ()

    def of(self, kind: str | None, state: MemoryState | None = None) -> tuple[Reply, ...]:
        """The replies of a kind and a memory; None for all."""
        return tuple(
            each for each in self.replies if kind in (None, each.kind) and state in (None, each.state)
        )  # fmt: skip


class Judge:
    """Judges replies. ``values``: of the memory; ``words``: every word that is one, None to accept any."""

    def __init__(self, kinds: Iterable[Kind], values: Sequence[str], words: frozenset[str] | None) -> None:
        self.kinds = {kind.kind: kind for kind in kinds}
        self.values = values
        self.words = words

    def acceptable(self, prompt: Prompt, reply: str, state: MemoryState) -> bool:
        """Whether the reply gives the answer or matches a wanted pattern, and has no fault."""
        wanted = (*self.kinds[prompt.kind].wanted, *prompt.wanted)
        return self.fault(prompt, reply, state)[0] is None and (
            bool(self.right(prompt, reply)) or bool(_first(wanted, reply))
        )

    def right(self, prompt: Prompt, reply: str) -> bool | None:
        """Whether the reply gives the answer; None where the prompt has none."""
        return None if prompt.answer is None else bool(_first([rf"\b(?:{prompt.answer})\b"], reply))

    def fault(self, prompt: Prompt, reply: str, state: MemoryState) -> tuple[Fault | None, str]:
        """The first thing that is never right about the reply, and where it shows; (None, "") for none. A value can
        come from a full memory only."""
        unknown = self._torn(prompt, reply)
        found = _first((*self.kinds[prompt.kind].unwanted, *prompt.unwanted), reply)
        values = self.values if state == "full" else ()
        value = next((each for each in values if names_any(reply, [each]) and not names_any(prompt.text, [each])), "")
        if not reply.strip():
            return "empty reply", ""
        if value:
            return "value from memory", value
        if unknown:
            return "torn word", unknown
        if loops(reply):
            return "loop", ""
        if found:
            return "unwanted", found
        if prompt.kind == NUMERIC and not self.right(prompt, reply) and re.search(r"\d", reply):
            return "wrong number", ""
        return None, ""

    def _torn(self, prompt: Prompt, reply: str) -> str:
        if self.words is None:
            return ""
        asked = set(words_of(prompt.text))
        return next((word for word in words_of(reply) if word not in self.words and word not in asked), "")


def words_of(text: str) -> list[str]:
    """The words of a text of Latin letters, in lower case, without contracted endings ("'s", "'ll")."""
    plain = re.sub(r"'(?:s|t|re|ve|ll|d|m)\b", "", text.casefold().replace("’", "'"))
    return [word for word in re.findall(r"[a-zà-ÿ]+", plain) if len(word) > 1]


def known_words(data_dir: Path, extra: Iterable[str] = ()) -> frozenset[str]:
    """Words that occur at least twice in the corpora, those that our generated episodes are made of, and those of the
    texts ``extra``. Raises DataError where a corpus is missing."""
    seen: Counter[str] = Counter()
    for corpus in CORPORA:
        for dialogue in read_dialogues(data_dir, corpus):
            for _, text in dialogue.turns:
                seen.update(words_of(text))
    rng = random.Random(0)
    made = (make(rng) for make in KINDS.values() for _ in range(2000))
    # the phrasings of relations are nested tuples of strings; their repr has every word
    texts = (*extra, *made, repr(ALL_RELATIONS))
    return frozenset(word for word, count in seen.items() if count > 1) | {w for text in texts for w in words_of(text)}


def measure(
    checkpoint: Checkpoint,
    *,
    data_dir: Path | None = None,
    seeds: Sequence[int] = SEEDS,
    states: Sequence[MemoryState] = STATES,
    prompts: Sequence[Prompt] | None = None,
    generation: GenerationSettings | None = None,
    on_progress: Progress | None = None,
) -> Conversation:
    """Ask every prompt. ``data_dir``: the corpora, by whose words torn ones are told; None accepts any word.
    ``generation``: its seed is replaced; None for the chat's defaults."""
    kinds = read_items(DATA / "conversation_kinds.jsonl", Kind)
    asked = read_items(DATA / "conversation_prompts.jsonl", Prompt) if prompts is None else prompts
    memory = read_items(DATA / "conversation_memory.jsonl", Memory)
    words = None if data_dir is None else known_words(data_dir, [*(m.text for m in memory), *(p.text for p in asked)])
    judge = Judge(kinds, [each.value for each in memory], words)
    settings = generation or GenerationSettings()
    replies: list[Reply] = []
    total = len(asked) * len(seeds) * len(states)
    with tempfile.TemporaryDirectory(prefix="varda-conversation-") as scratch:
        directories = {state: Path(scratch) / state for state in states}
        for state, directory in directories.items():
            with ChatSession(checkpoint, open_store(checkpoint, directory)) as session:
                for each in memory if state == "full" else ():
                    session.memory.remember(each.text)
        for state, directory in directories.items():
            for seed in seeds:
                for prompt in asked:
                    copy = Path(scratch) / "copy"
                    shutil.copytree(directory, copy)
                    replies.append(_ask(checkpoint, copy, prompt, judge, state, replace(settings, seed=seed)))
                    shutil.rmtree(copy)
                    if on_progress is not None:
                        on_progress("conversation", len(replies), total)
    notices = ("Torn words are not looked for: that needs the corpora, given by --data-dir.",) if words is None else ()
    return Conversation(tuple(replies), judge.kinds, notices)


def _ask(
    checkpoint: Checkpoint,
    directory: Path,
    prompt: Prompt,
    judge: Judge,
    state: MemoryState,
    settings: GenerationSettings,
) -> Reply:
    store = open_store(checkpoint, directory)
    with ChatSession(checkpoint, store, generation=settings, incognito=prompt.kind == INCOGNITO) as session:
        turn = session.reply(prompt.text)
        # what the model's own reply leaves in memory is not counted as stored of the line
        stored = tuple(each.text for each in turn.stored if session.memory.statement(each.id).role == "user")
    fault, detail = judge.fault(prompt, turn.reply, state)
    return Reply(
        prompt.kind, state, settings.seed or 0, prompt.text, turn.reply, judge.acceptable(prompt, turn.reply, state),
        judge.right(prompt, turn.reply), fault, detail,
        recalled=tuple(each.text for each in turn.recalled), stored=stored,
        deleted=tuple(each.text for each in turn.deleted),
    )  # fmt: skip


def _first(patterns: Iterable[str], reply: str) -> str:
    """What the first pattern that occurs in the reply matches; "" for none."""
    plain = reply.casefold().replace("’", "'")
    matches: Iterator[re.Match[str] | None] = (re.search(pattern, plain) for pattern in patterns)
    return next((match[0] for match in matches if match), "")
