"""All attacks with their counts, in one table: ``python -m tests.hostile``. Exits 1 where one of them got through."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import click

from tests.hostile import disks, files, flips, kills, serving, signals
from tests.hostile.attacks import Attack, Outcome, make, table

ATTACKS: tuple[Attack, ...] = (
    *kills.ATTACKS,
    *flips.ATTACKS,
    *files.ATTACKS,
    *disks.ATTACKS,
    *signals.ATTACKS,
    *serving.ATTACKS,
)


def make_all(work: Path, share: float, only: str = "", report: bool = False) -> list[Outcome]:
    """That share of the full form, in ``work``; of the attacks whose name holds ``only``."""
    outcomes = []
    for attack in ATTACKS:
        if only in attack.name:
            outcomes.append(make(attack, work, attack.size(share)))
            if report:
                one = outcomes[-1]
                click.echo(f"{attack.name}: {one.tries} in {one.seconds:.1f} s {one.skipped}", err=True)
                click.echo("".join(f"  {failure}\n" for failure in one.failures), err=True, nl=False)
    return outcomes


@click.command()
@click.option("--size", type=click.FloatRange(0, 100), default=1.0, show_default=True, help="Share of the full form.")
@click.option("--only", default="", metavar="WORDS", help="Only attacks whose name holds these words.")
def main(size: float, only: str) -> None:
    """Make hostile tries on real files, processes and terminals, and print how many of them got through."""
    logging.disable(logging.ERROR)  # a server tells its log of each nonsense that it was sent
    with tempfile.TemporaryDirectory() as work:
        outcomes = make_all(Path(work), size, only, report=True)
    click.echo(table(outcomes))
    if not all(each.held for each in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
