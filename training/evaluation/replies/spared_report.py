"""Shows what ``spared`` found: tables, the object for ``--json``, the exchanges for reading by eye.

``spared_json``: ``threshold``, ``seed``, ``totals`` (each a score or a count), ``sets`` (per set: facts ``held`` after
the telling and ``lost`` since, by id), ``kinds`` (per kind of line: ``lines``, ``deleting``, ``facts_lost``,
``stored``), ``thresholds`` (the totals at other delete thresholds), ``exchanges`` (every turn) and ``notices``. A score
is ``{"right", "total", "share", "interval"}`` with the 95 % bounds of its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from training.evaluation.replies.claims import claims_deletion, promises
from training.evaluation.replies.spared import STORABLE, Exchange, SetResult, Spared, Stage
from training.evaluation.scoring import Score
from training.evaluation.tables import new_table, score_json, share_text

FRESH = "requests to a fresh memory that deleted their fact"
PROMISED = "replies that promise to remember, where nothing was stored"
CLAIMED = "replies that claim a deletion, where nothing was deleted"
REQUESTS: tuple[Stage, ...] = ("request", "fresh request")


def totals(found: Spared) -> dict[str, Score]:
    """What a run comes down to. Facts lost count those that were held; deletions count requests with a held target."""
    held = [fact for each in found.sets for fact in each.held]
    lost = [fact for each in found.sets for fact in each.lost]
    junk = [each for each in found.lines if each.kind not in STORABLE]
    later, fresh = found.requests(), found.requests("fresh request")
    unstored = [each for each in found.exchanges if not _by_user(each)]
    undeleted = [each for each in found.exchanges if not each.deleted]
    return {
        "facts held after the telling": Score(len(held), sum(len(each.facts) for each in found.sets)),
        "of these lost to unrelated lines": Score(len(lost), len(held)),
        "unrelated lines that deleted something": Score.of(bool(each.deleted) for each in found.lines),
        "junk lines of which something was stored": Score.of(bool(_by_user(each)) for each in junk),
        "other lines of which something was stored": Score.of(
            bool(_by_user(each)) for each in found.lines if each.kind in STORABLE
        ),
        "requests after the lines that deleted their fact": Score.of(each.right for each in later if each.held),
        "requests after the lines that deleted something else": Score.of(bool(each.wrong) for each in later),
        FRESH: Score.of(each.right for each in fresh if each.held),
        "requests to a fresh memory that deleted something else": Score.of(bool(each.wrong) for each in fresh),
        PROMISED: Score.of(promises(each.reply) for each in unstored),
        CLAIMED: Score.of(claims_deletion(each.reply) for each in undeleted),
    }


def counts(found: Spared) -> dict[str, int]:
    """Numbers of statements beside the shares."""
    junk = [each for each in found.lines if each.kind not in STORABLE]
    return {
        "statements deleted by unrelated lines": sum(len(each.deleted) for each in found.lines),
        "statements stored from junk lines": sum(len(_by_user(each)) for each in junk),
        "statements stored from replies to unrelated lines": sum(
            len(each.stored) - len(_by_user(each)) for each in found.lines
        ),
        "other statements deleted by requests": sum(
            len(each.wrong) for stage in REQUESTS for each in found.requests(stage)
        ),
        "facts lost while the facts were told": sum(
            len(each.lost) for each in found.exchanges if each.stage == "telling"
        ),
    }


def spared_tables(found: Spared, others: Sequence[Spared] = ()) -> list[Table]:
    """The totals; each set; each kind of line; other delete thresholds, where they were measured."""
    first = new_table("Facts among lines that do not concern them", "measure", "share")
    for name, score in totals(found).items():
        first.add_row(name, share_text(score))
    for name, count in counts(found).items():
        first.add_row(name, str(count))
    first.caption = "95 % intervals in brackets"
    sets = new_table("Facts by set", "set", "held", "lost", "lines that deleted", "requests right (later; fresh)")
    for each in found.sets:
        lines = [exchange for exchange in each.exchanges if exchange.is_line]
        sets.add_row(
            str(each.number), f"{len(each.held)} of {len(each.facts)}",
            f"{len(each.lost)}" + (f" ({', '.join(each.lost)})" if each.lost else ""),
            f"{sum(bool(line.deleted) for line in lines)} of {len(lines)}",
            "; ".join(_requests(each, stage) for stage in REQUESTS),
        )  # fmt: skip
    kinds = new_table(
        "Unrelated lines by kind", "kind", "lines", "deleted something", "facts lost", "statements stored"
    )
    for kind, row in by_kind(found).items():
        kinds.add_row(kind, *(str(row[name]) for name in ("lines", "deleting", "facts_lost", "stored")))
    tables = [first, sets, kinds]
    if others:
        tables.append(_threshold_table((found, *others)))
    return tables


def _threshold_table(runs: Sequence[Spared]) -> Table:
    table = new_table("By delete threshold", "threshold", FRESH, "lines that deleted", "facts lost")
    for each in sorted({run.threshold: run for run in runs}.values(), key=lambda run: run.threshold or 0.0):
        shares = totals(each)
        table.add_row(
            "its own" if each.threshold is None else f"{each.threshold:g}",
            share_text(shares[FRESH]),
            share_text(shares["unrelated lines that deleted something"]),
            share_text(shares["of these lost to unrelated lines"]),
        )
    table.caption = "every threshold is a run of its own"
    return table


def by_kind(found: Spared) -> dict[str, dict[str, int]]:
    """For each kind of unrelated line: lines, lines that deleted, facts lost, statements stored of the user's words."""
    kinds: dict[str, list[Exchange]] = {}
    for each in found.lines:
        kinds.setdefault(each.kind, []).append(each)
    return {
        kind: {
            "lines": len(lines),
            "deleting": sum(bool(line.deleted) for line in lines),
            "facts_lost": sum(len(line.lost) for line in lines),
            "stored": sum(len(_by_user(line)) for line in lines),
        }
        for kind, lines in sorted(kinds.items())
    }


def spared_json(found: Spared, others: Sequence[Spared] = ()) -> dict[str, Any]:
    """See the module."""
    return {
        "threshold": found.threshold,
        "seed": found.seed,
        "totals": _totals(found),
        "sets": [{"set": each.number, "held": list(each.held), "lost": list(each.lost)} for each in found.sets],
        "kinds": by_kind(found),
        "thresholds": [{"threshold": each.threshold, "totals": _totals(each)} for each in others],
        "exchanges": [
            asdict(each) | {"right": each.right, "wrong": [asdict(change) for change in each.wrong]}
            for each in found.exchanges
        ],
        "notices": list(found.notices),
    }


def spared_markdown(found: Spared) -> str:
    """Every turn: what was said, the reply, what was stored (+) and deleted (-), the facts lost."""
    out: list[str] = []
    for result in found.sets:
        out += [f"# Set {result.number}", ""]
        stage = None
        for each in result.exchanges:
            if each.stage != stage:
                stage = each.stage
                out += [f"## {stage.capitalize()}", ""]
            out += [f"    [{each.kind}] {each.text}", f"    -> {each.reply}"]
            out += [f"       + ({change.role}) {change.text}" for change in each.stored]
            out += [f"       - ({change.role}) {change.text}" for change in each.deleted]
            if each.stage in REQUESTS:
                verdict = "deleted" if each.right else "STILL THERE" if each.held else "was not in memory"
                out.append(f"       target {each.target}: {verdict}; {len(each.wrong)} other(s) deleted")
            elif each.lost:
                out.append(f"       LOST: {', '.join(each.lost)}")
            out.append("")
    return "\n".join(out)


def _requests(result: SetResult, stage: Stage) -> str:
    asked = [each for each in result.exchanges if each.stage == stage and each.held]
    return f"{sum(each.right for each in asked)} of {len(asked)}"


def _totals(found: Spared) -> dict[str, Any]:
    return {name: score_json(score) for name, score in totals(found).items()} | dict(counts(found))


def _by_user(exchange: Exchange) -> list[Any]:
    return [each for each in exchange.stored if each.role == "user"]
