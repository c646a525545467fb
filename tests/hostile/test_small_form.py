"""The small form of ``make test-hostile``: a few tries of each attack, none of which gets through."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.__main__ import ATTACKS
from tests.hostile.attacks import Attack, make, table

SHARE = 0.02
"""Of the full form: of each attack at least one try."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_no_try_gets_through(attack: Attack, tmp_path: Path) -> None:
    outcome = make(attack, tmp_path, attack.size(SHARE))
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.failures == []
    assert outcome.tries == attack.size(SHARE)


def test_a_failure_is_counted_as_what_it_is(tmp_path: Path) -> None:
    def tries(work: Path, wanted: int):  # type: ignore[no-untyped-def]
        if (kind := len(list(tmp_path.iterdir()))) <= len(ERRORS):
            raise ERRORS[kind - 1]
        yield from [None] * wanted

    outcome = make(Attack("of all kinds", tries, 10), tmp_path, 5)
    assert (outcome.tries, outcome.lost, outcome.crashed, outcome.hung) == (5, 1, 1, 1)
    assert not outcome.held
    assert table([outcome]).splitlines()[2] == "| of all kinds |     5 |    1 |      0 |       1 |    1 |"


ERRORS = (AssertionError("gone"), ValueError("what"), TimeoutError("still there"))


def test_the_full_form_has_more_than_a_thousand_tries() -> None:
    assert sum(attack.full for attack in ATTACKS) >= 1000
