"""People who tell facts to a model, as the memory benchmark has them."""

from __future__ import annotations

from training.evaluation.recall.tasks import Line, Question, Script


def person_of(*facts: tuple[str, str]) -> Script:
    """Tells facts (statement, value) over two sessions, with small talk, and is asked about the first value."""
    told = [Line(text, (value,)) for text, value in facts]
    half = len(told) // 2
    sessions = ((*told[:half], Line("Hello! How are you?")), (Line("It rains again."), *told[half:]))
    return Script("recall", "seen", sessions, (), (Question("What is it?", "value named", "", ((facts[0][1],),)),))
