"""Shows what ``conversation`` found: a table by kind, the object for ``--json``, the exchanges for reading by eye.

``conversation_json``: ``kinds[kind][memory]`` with the scores ``acceptable``, ``never`` (a fault), ``right`` (the
answer given, where there is one), ``recalled`` (a memory took part) and ``stored`` (something of the line was kept);
``all[memory]``, the same over all kinds; ``faults``, how often each occurred; ``replies``; ``notices``. ``memory`` is
"empty" or "full".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from training.evaluation.replies.conversation import STATES, Conversation, Reply
from training.evaluation.scoring import Score
from training.evaluation.tables import new_table, score_json, share_text

ALL = "all"


def scores(replies: Sequence[Reply]) -> dict[str, Score]:
    """The shares of some replies, by name."""
    return {
        "acceptable": Score.of(each.acceptable for each in replies),
        "never": Score.of(each.fault is not None for each in replies),
        "right": Score.of(each.right for each in replies if each.right is not None),
        "recalled": Score.of(bool(each.recalled) for each in replies),
        "stored": Score.of(bool(each.stored) for each in replies),
    }


def conversation_tables(found: Conversation) -> list[Table]:
    """Acceptable replies by kind, what is never right, and what the memory did."""
    first = new_table("Acceptable replies", "kind", "empty memory", "full memory")
    second = new_table(
        "By kind, both memories", "kind", "never right", "answer given", "recalled (full memory)", "stored of the line"
    )
    for kind in (*found.kinds, None):
        name = kind or ALL
        first.add_row(name, *(share_text(scores(found.of(kind, state))["acceptable"]) for state in STATES))
        both, full = scores(found.of(kind)), scores(found.of(kind, "full"))
        second.add_row(
            name, _percent(both["never"]), _percent(both["right"]), _percent(full["recalled"]), _percent(both["stored"])
        )
    first.caption = "95 % intervals in brackets; they treat the seeds as independent"
    faults = new_table("Replies that are never right, by fault", "fault", *(f"{state} memory" for state in STATES))
    for fault in sorted({each.fault for each in found.replies if each.fault}):
        faults.add_row(fault, *(str(_faults(found.of(None, state))[fault]) for state in STATES))
    return [first, second, faults]


def conversation_json(found: Conversation) -> dict[str, Any]:
    """See the module."""

    def of(kind: str | None) -> dict[str, Any]:
        return {
            state: {name: score_json(score) for name, score in scores(found.of(kind, state)).items()}
            for state in STATES
        }

    return {
        "kinds": {kind: of(kind) for kind in found.kinds},
        ALL: of(None),
        "faults": {state: dict(_faults(found.of(None, state))) for state in STATES},
        "replies": [asdict(each) for each in found.replies],
        "notices": list(found.notices),
    }


def conversation_markdown(found: Conversation) -> str:
    """Every reply under its prompt, "+" for acceptable, "!" for never right, "-" for neither."""
    out: list[str] = []
    for kind in found.kinds:
        out += [f"# {kind.capitalize()}", ""]
        prompts = dict.fromkeys(each.prompt for each in found.of(kind))
        for prompt in prompts:
            out.append(f"    {prompt}")
            for each in found.of(kind):
                if each.prompt == prompt:
                    mark = "+" if each.acceptable else "!" if each.fault else "-"
                    why = f"  [{each.fault}{': ' if each.detail else ''}{each.detail}]" if each.fault else ""
                    out.append(f"      {mark} ({each.state}, seed {each.seed}) {each.reply}{why}")
                    out += [f"          recalled: {text}" for text in each.recalled]
                    out += [f"          stored: {text}" for text in each.stored]
                    out += [f"          deleted: {text}" for text in each.deleted]
            out.append("")
    return "\n".join(out)


def _faults(replies: Sequence[Reply]) -> Counter[str]:
    return Counter(each.fault for each in replies if each.fault)


def _percent(score: Score) -> str:
    return f"{score.share:.0%} ({score.right}/{score.total})" if score.total else ""
