"""Shows what ``influence`` found: a table, and the object for ``--json``.

``influence_json``: ``settings``; ``tiers[tier]`` and ``all``, each with ``right`` and ``wrong`` answers; ``answers``;
``notices``. Of right and of wrong answers: ``used_memory``, the score of those that used a statement; and of these,
where there was another statement to mask instead, ``changed`` (the reply has other words) and ``verdict`` (a right
answer is wrong then, a wrong one right), each with the scores ``masked`` and ``control``, ``difference`` (of their
shares, ``{"mean", "low", "high"}``, 95 % by bootstrap over people) and ``paired`` (McNemar's exact test:
``{"questions", "first", "second", "p"}``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from training.evaluation.recall.influence import Again, Answer, Influence
from training.evaluation.scoring import Score
from training.evaluation.statistics import bootstrap_ratio, mcnemar
from training.evaluation.tables import chance_text, new_table, paired_json, score_json, share_text

Effect = Callable[[Answer, Again], bool]

EFFECTS: dict[str, Effect] = {
    "changed": lambda answer, again: answer.changed(again),
    "verdict": lambda answer, again: answer.right != again.right,
}


def influence_tables(found: Influence) -> list[Table]:
    """The shares of answers that change when what they used is masked, and when other statements are."""
    table = new_table(
        "Answers asked again without the memories they used", "answers", "used a memory", "change",
        "change without others", "p", "verdict turns", "verdict turns without others", "p",
    )  # fmt: skip
    for right in (True, False):
        for tier in (*found.tiers, None):
            answers = found.of(tier, right)
            cells = [share_text(_used(answers))]
            for effect in EFFECTS.values():
                masked, control = _outcomes(answers, effect)
                cells += [share_text(Score.of(masked)), share_text(Score.of(control))]
                cells.append(chance_text(mcnemar(masked, control).p) if masked else "")
            table.add_row(f"{'right' if right else 'wrong'}, {tier or 'all'}", *cells, end_section=tier is None)
    table.caption = (
        "95 % intervals in brackets; p: McNemar's exact test, the memories used against as many others of the same "
        "person; a verdict turns where a right answer becomes wrong, or a wrong one right"
    )
    return [table]


def influence_json(found: Influence) -> dict[str, Any]:
    """See the module."""

    def both(tier: Any) -> dict[str, Any]:
        return {name: _group(found.of(tier, right), found.seed) for name, right in (("right", True), ("wrong", False))}

    return {
        "settings": {name: _plain(getattr(found, name)) for name in ("facts", "per_person", "tiers", "seed")},
        "tiers": {tier: both(tier) for tier in found.tiers},
        "all": both(None),
        "answers": [asdict(each) for each in found.answers],
        "notices": [],
    }


def _group(answers: Sequence[Answer], seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {"used_memory": score_json(_used(answers))}
    tested = _tested(answers)
    for name, effect in EFFECTS.items():
        masked, control = _outcomes(answers, effect)
        people: dict[tuple[str, int], list[int]] = {}
        for each, one, other in zip(tested, masked, control, strict=True):
            people.setdefault((each.tier, each.person), []).append(one - other)
        difference = bootstrap_ratio([sum(v) for v in people.values()], [len(v) for v in people.values()], seed)
        found[name] = {
            "masked": score_json(Score.of(masked)),
            "control": score_json(Score.of(control)),
            "difference": asdict(difference),
            "paired": paired_json(mcnemar(masked, control)),
        }
    return found


def _used(answers: Sequence[Answer]) -> Score:
    return Score.of(bool(each.used) for each in answers)


def _tested(answers: Sequence[Answer]) -> list[Answer]:
    return [each for each in answers if each.without is not None and each.control is not None]


def _outcomes(answers: Sequence[Answer], effect: Effect) -> tuple[list[bool], list[bool]]:
    """The effect of masking what was used, and of masking others, on the same answers."""
    masked, control = [], []
    for each in _tested(answers):
        assert each.without is not None and each.control is not None
        masked.append(effect(each, each.without))
        control.append(effect(each, each.control))
    return masked, control


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
