"""The figures as Markdown: one page with all of them, and the tables that README and cards quote.

A document quotes a table between the lines ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``;
``varda-eval figures FILE --write`` writes what stands between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from training.evaluation.figures.markdown import (
    NOT_MEASURED,
    Cell,
    Model,
    cell_text,
    count,
    full_share,
    interval_text,
    markdown_table,
    percent,
    short_share,
    split_text,
)
from training.evaluation.figures.store import Figures
from training.evaluation.recall.tasks import MEASURES, TASKS, TIERS
from training.evaluation.statistics import mcnemar
from training.evaluation.tables import chance_text
from varda_chat.errors import DataError

MODELS = ("default", "mini")
"""The shipped models, in the order of the columns; others come after them."""
DOCUMENTS = ("README.md", "varda_chat/checkpoints/default/README.md", "varda_chat/checkpoints/mini/README.md")
"""What quotes figures, from the root of the repository."""
TIER_NAMES = {"seen": "phrasings as in training", "held-out": "held-out phrasings", "hand-written": "written by hand"}
CONDITION_NAMES = {
    "memory": "**recall**, the memory's own",
    "no-memory": "control: no memory",
    "shuffled-memory": "control: somebody else's memory",
    "store-everything": "control: every token stored, gates ignored",
    "random-store": "control: as many random tokens stored",
    "facts-in-prompt": "control: no memory, the facts in the prompt",
    "text-search": "control: no memory, BM25's two best lines in the prompt",
}
MEMORY, BASELINE = "memory, as in chat", "BM25"

_BLOCK = re.compile(r"(<!-- figures: ([\w ]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


# Documents


def quoted(figures: Figures, text: str) -> str:
    """``text``, a document, with its tables as the figures have them. Raises DataError for an unknown table."""

    def table(block: re.Match[str]) -> str:
        name, _, model = block[2].partition(" ")
        if name not in TABLES or (model and model not in figures["models"]):
            raise DataError(f"There are no figures named {block[2]!r}.")
        return f"{block[1]}{TABLES[name](figures, model)}\n{block[3]}"

    return _BLOCK.sub(table, text)


def write_documents(figures: Figures, root: Path) -> list[str]:
    """Bring the DOCUMENTS under ``root`` up to date; returns those that changed."""
    changed = []
    for name in DOCUMENTS:
        text = (root / name).read_text(encoding="utf-8")
        new = quoted(figures, text)
        if new != text:
            (root / name).write_text(new, encoding="utf-8")
            changed.append(name)
    return changed


def page(figures: Figures) -> str:
    """All of it: a summary of all models; recall, its controls and influence by model; both models on the same
    questions; retrieval; spared facts; what was run."""
    names = models(figures)
    parts = ["# Figures", "## Summary", summary(figures)]
    for name in names:
        if "recall" in figures["models"][name]:
            parts += [f"## Recall: {name}", recall(figures, name), *_note(figures, "recall")]
        if "paired" in figures["models"][name].get("recall", {}):
            parts += [f"### The memory against its controls: {name}", _paired(figures["models"][name]["recall"])]
    parts += _against(figures)
    for measure, title, table in (
        ("introductions", "Several things told in a line", _introductions),
        ("influence", "Answers asked again without the memories they used", _influence),
        ("spared", "Facts among lines that do not concern them", _spared),
        ("retrieval", "Turns found that answer a question", _retrieval),
        ("conversation", "Acceptable replies", _conversation),
    ):
        there = [name for name in names if measure in figures["models"][name]]
        if there:
            parts += [f"## {title}", table([(name, figures["models"][name][measure]) for name in there])]
            parts += _note(figures, measure)
    parts += ["## What was run", "\n".join(_commands(figures))]
    return "\n\n".join(parts) + "\n"


def models(figures: Figures) -> list[str]:
    """The names of the models, in the order of the columns."""
    return sorted(figures["models"], key=lambda name: (MODELS.index(name) if name in MODELS else len(MODELS), name))


# Tables


def summary(figures: Figures, _model: str = "") -> str:
    """What each model comes down to: a row a figure, a column a model."""
    names = models(figures)
    rows = []
    for label, cell in _summary_rows(figures):
        cells = [cell_text(cell, figures["models"][name]) for name in names]
        if set(cells) != {NOT_MEASURED}:
            rows.append([label, *cells])
    return markdown_table(["", *names], rows)


def _summary_rows(figures: Figures) -> Iterator[tuple[str, Cell]]:
    def task(model: Model, task: str, measure: str, tier: str = "hand-written") -> Any:
        return model["recall"]["tasks"][task][measure][tier]

    def total(model: Model, name: str) -> Any:
        return model["spared"]["totals"][name]

    def control(model: Model, name: str) -> tuple[int, int]:
        scores = model["recall"]["conditions"][name].values()
        return sum(score["right"] for score in scores), sum(score["total"] for score in scores)

    def controls(model: Model) -> str:
        (one, ones), (other, others) = (control(model, name) for name in ("no-memory", "shuffled-memory"))
        return f"{one / ones:.0%}, {other / others:.0%} of {ones}" + ("" if ones == others else f" and {others}")

    def templates(model: Model) -> str:
        seen, held = (model["recall"]["conditions"]["memory"][tier] for tier in ("seen", "held-out"))
        totals = {seen["total"], held["total"]}
        counted = f"{seen['total']} each" if len(totals) == 1 else f"{seen['total']} and {held['total']}"
        return f"{percent(seen)} / {percent(held)} of {counted}"

    def found_at(model: Model) -> str:
        memory, plain = (_system(model["retrieval"], name)["overall"]["any@5"]["mean"] for name in (MEMORY, BASELINE))
        return f"{memory:.0%}, {plain:.0%} of {model['retrieval']['questions']}"

    def masked(model: Model) -> str:
        changed = model["influence"]["tiers"]["hand-written"]["right"]["changed"]
        return f"{percent(changed['masked'])}, {percent(changed['control'])} of {changed['masked']['total']}"

    def introduced(model: Model) -> str:
        found = model["introductions"]
        return f"{full_share(found['right'])}, {percent(found['by_chance'])}"

    def acceptable(model: Model) -> str:
        return ", ".join(percent(model["conversation"]["all"][state]["acceptable"]) for state in ("empty", "full"))

    lines = {m["spared"]["totals"][_DELETING]["total"] for m in figures["models"].values() if "spared" in m}
    unrelated = f"{lines.pop()} lines" if len(lines) == 1 else "lines"
    yield "**hand-written facts recalled**", lambda m: full_share(m["recall"]["conditions"]["memory"]["hand-written"])
    yield "facts in phrasings as in training / held-out", templates
    yield "the same without memory, with another person's memory", controls
    yield "**answers where several things were told in a line**, with another person's memory", introduced
    yield f"**facts lost to {unrelated} that concern none of them**", lambda m: count(total(m, _LOST))
    yield "such lines that deleted anything", lambda m: count(total(m, _DELETING))
    yield _JUNK, lambda m: count(total(m, _JUNK))
    yield (
        "requests that deleted their fact, and nothing else",
        lambda m: f"{count(total(m, _FRESH))}, {count(total(m, _FRESH_OTHERS))} others",
    )
    yield (
        "update by hand: the new value and not the old",
        lambda m: short_share(task(m, "update", "new value, not the old")),
    )
    yield (
        "never told, by hand: admits it, names no value",
        lambda m: short_share(task(m, "never-told", "admits it, names nothing")),
    )
    yield "right answers by hand that change when the memories they used are hidden, when as many others are", masked
    yield "questions whose turn is among the first five found, by the memory, by BM25", found_at
    yield "acceptable replies with an empty, a full memory", acceptable


_LOST = "of these lost to unrelated lines"
_DELETING = "unrelated lines that deleted something"
_JUNK = "junk lines of which something was stored"
_FRESH = "requests to a fresh memory that deleted their fact"
_FRESH_OTHERS = "requests to a fresh memory that deleted something else"


def recall(figures: Figures, model: str) -> str:
    """A model's recall: a row a condition, a number of other vectors or a task's measure, a column a tier."""
    found = figures["models"][model]["recall"]
    tiers = [tier for tier in TIERS if tier in found["settings"]]
    rows: list[tuple[str, dict[str, Any]]] = []
    for condition, label in CONDITION_NAMES.items():
        if condition in found.get("conditions", {}):
            rows.append((label, found["conditions"][condition]))
        if condition == "memory":
            levels = sorted((int(level) for level in found.get("distractors", {})), key=int)
            rows += [
                (f"… among {level:,} vectors of other chat", found["distractors"][str(level)])
                for level in levels
                if level > 0
            ]
    for task in TASKS[1:]:
        for measure in MEASURES[task]:
            if measure in found["tasks"].get(task, {}):
                rows.append((f"**{task.replace('-', ' ')}**: {measure}", found["tasks"][task][measure]))
    cells = [
        [label, *(full_share(scores[tier]) if tier in scores else NOT_MEASURED for tier in tiers)]
        for label, scores in rows
    ]
    return markdown_table(["right answers", *(TIER_NAMES[tier] for tier in tiers)], cells)


TABLES: dict[str, Callable[[Figures, str], str]] = {"summary": summary, "recall": recall}
"""Tables that documents may quote: "summary", or "recall" and a model."""


def _paired(found: Model) -> str:
    tiers = [tier for tier in TIERS if tier in found["settings"]]
    rows = [
        [CONDITION_NAMES[control].removeprefix("control: "), *(split_text(scores.get(tier)) for tier in tiers)]
        for control in CONDITION_NAMES
        if (scores := found["paired"].get(control))
    ]
    table = markdown_table(["control", *(TIER_NAMES[tier] for tier in tiers)], rows)
    return f"{table}\n\nQuestions that only the memory : only the control answered right; p by McNemar's exact test."


def _against(figures: Figures) -> list[str]:
    """Two models on the same questions, where they were asked the same."""
    first, *others = models(figures) or [""]
    rows = []
    for other in others:
        one, two = (figures["models"][name].get("recall", {}) for name in (first, other))
        for tier in TIERS:
            settings = [each.get("settings", {}).get(tier) for each in (one, two)]
            answers = [each.get("answers", {}).get("memory", {}).get(tier) for each in (one, two)]
            if None not in (*settings, *answers) and settings[0] == settings[1] and len(answers[0]) == len(answers[1]):
                found = mcnemar(*([right == "1" for right in each] for each in answers))
                split = {"first": found.first, "second": found.second, "p": found.p, "questions": found.questions}
                rows.append([f"{first} : {other}", TIER_NAMES[tier], str(found.questions), split_text(split)])
    if not rows:
        return []
    table = markdown_table(["models", "facts", "questions", "only the first : only the second right"], rows)
    return ["## Two models on the same questions", f"{table}\n\np by McNemar's exact test."]


def _introductions(found: Sequence[tuple[str, Model]]) -> str:
    names = {"stored": "is in memory", "read": "was read for the reply", "right": "was given",
             "by_chance": "was given from another person's memory"}  # fmt: skip
    rows = [[label, *(full_share(each[name]) for _, each in found)] for name, label in names.items()]
    rows.append(
        ["tokens told of which a vector is stored", *(f"{e['stored_tokens']} of {e['tokens']}" for _, e in found)]
    )
    return markdown_table(["answers of which what was asked for", *(name for name, _ in found)], rows)


def _influence(found: Sequence[tuple[str, Model]]) -> str:
    rows = []
    for name, each in found:
        for right in ("right", "wrong"):
            for tier in (tier for tier in TIERS if tier in each["tiers"]):
                group = each["tiers"][tier][right]
                row = [name, f"{right}, {TIER_NAMES[tier]}", count(group["used_memory"])]
                for effect in ("changed", "verdict"):
                    row += [full_share(group[effect]["masked"]), full_share(group[effect]["control"])]
                    row.append(chance_text(group[effect]["paired"]["p"]))
                rows.append(row)
    head = ["model", "answers", "used a memory", "change without it", "change without others", "p"]
    table = markdown_table([*head, "verdict turns without it", "verdict turns without others", "p"], rows)
    return (
        f"{table}\n\np: McNemar's exact test. A verdict turns where a right answer becomes wrong, or a wrong one right."
    )


def _spared(found: Sequence[tuple[str, Model]]) -> str:
    names = list(dict.fromkeys(name for _, each in found for name in each["totals"]))

    def cell(value: Any) -> str:
        return NOT_MEASURED if value is None else str(value) if isinstance(value, int) else f"{count(value)}"

    rows = [[name, *(cell(each["totals"].get(name)) for _, each in found)] for name in names]
    return markdown_table(["", *(name for name, _ in found)], rows)


def _retrieval(found: Sequence[tuple[str, Model]]) -> str:
    rows = []
    for number, (name, each) in enumerate(found):
        for system in each["systems"]:
            own = "memory" in system["system"]
            if not own and number > 0:
                continue  # the others do not depend on the model
            values = [interval_text(system["overall"][metric]) for metric in system["overall"]]
            auc = system["unanswerable_auc"]
            rows.append([
                name if own else "", system["system"], *values,
                "" if system["system"] == BASELINE else chance_text(system["paired"]["p"]),
                "" if auc is None else f"{auc:.2f}",
            ])  # fmt: skip
    first = found[0][1]
    metrics = list(first["systems"][0]["overall"])
    table = markdown_table(["model", "system", *metrics, "any@5 against BM25: p", "unanswerable: AUC"], rows)
    return f"{table}\n\n{first['questions']} questions in {first['conversations']} conversations."


def _conversation(found: Sequence[tuple[str, Model]]) -> str:
    kinds = list(dict.fromkeys(kind for _, each in found for kind in each["kinds"]))
    states = [(name, each, state) for name, each in found for state in ("empty", "full")]
    rows = [[kind, *(percent(each["kinds"][kind][state]["acceptable"]) for _, each, state in states)] for kind in kinds]
    rows.append(["**all**", *(full_share(each["all"][state]["acceptable"]) for _, each, state in states)])
    rows.append(["never right", *(full_share(each["all"][state]["never"]) for _, each, state in states)])
    return markdown_table(["kind", *(f"{name}, {state} memory" for name, _, state in states)], rows)


def _commands(figures: Figures) -> Iterator[str]:
    for name in models(figures):
        for parts in figures["models"][name]["parts"].values():
            for part in parts:
                yield f"- `{part['command']}`, {part['date']}"


def _note(figures: Figures, measure: str) -> list[str]:
    return [figures["notes"][measure]] if measure in figures["notes"] else []


def _system(found: Model, name: str) -> Any:
    return {each["system"]: each for each in found["systems"]}[name]
