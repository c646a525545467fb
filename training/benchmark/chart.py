"""Draws the recall benchmark: facts recalled by tier under each condition, and against the number of distractors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.benchmark.recall import Benchmark
from training.benchmark.report import conditions
from training.benchmark.scoring import Score
from varda_chat.errors import StorageError, VardaError

FORMATS = (".svg", ".png")
_COLOURS = ("#0072B2", "#E69F00", "#009E73")  # Okabe and Ito: told apart by the colour-blind, too
_MARKS = ("o", "s", "^")
_INK, _FAINT = "#222222", "#cccccc"


def check_chart(path: Path) -> None:
    """Raises VardaError, with what to do, where no chart can be drawn into ``path``: before anything is measured."""
    if path.suffix.lower() not in FORMATS:
        raise VardaError(f"--chart {path.name}: a chart is drawn as {' or '.join(FORMATS)}.")
    if not path.absolute().parent.is_dir():
        raise VardaError(f"--chart {path}: there is no folder {path.parent}.")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise VardaError("--chart needs the library matplotlib: pip install 'varda-chat[bench]'.") from error


def draw_chart(benchmark: Benchmark, path: Path) -> None:
    """Write the chart of a run with the recall task to ``path`` (.svg or .png). Raises StorageError."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    among = len(benchmark.plan.distractors) > 1
    style = {
        "font.size": 9, "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _FAINT, "xtick.color": _INK,
        "ytick.color": _INK, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
        "axes.titlesize": 10, "svg.hashsalt": "varda-chat",
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(9.0 if among else 6.0, 3.4), layout="constrained", facecolor="white")
        if among:
            left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.7, 1.0]}, sharey=True)
            _distractors(benchmark, right)
        else:
            left = figure.subplots()
        _conditions(benchmark, left)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        try:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise StorageError(f"The chart could not be written: {error}") from error


def _conditions(benchmark: Benchmark, axes: Any) -> None:
    """Groups of bars, one group a condition, one bar a tier."""
    shown, tiers = conditions(benchmark), benchmark.plan.tiers
    width = 0.8 / len(tiers)
    for number, tier in enumerate(tiers):
        scores = [benchmark.recall(condition, tier) for condition in shown]
        places = [place + (number - (len(tiers) - 1) / 2) * width for place in range(len(shown))]
        axes.bar(
            places, _percent(scores), width * 0.92, yerr=_errors(scores), color=_COLOURS[number],
            label=f"{tier} phrasings", error_kw={"elinewidth": 0.8, "ecolor": _INK},
        )  # fmt: skip
    axes.set_xticks(range(len(shown)), [condition.replace("-in-", " in ").replace("-", "\n") for condition in shown])
    axes.tick_params(axis="x", length=0)
    axes.set_title("facts recalled in a new session, and under controls")
    _percent_axis(axes)
    axes.set_ylabel("%")


def _distractors(benchmark: Benchmark, axes: Any) -> None:
    """A line a tier over the numbers of distractors, evenly spaced."""
    levels = benchmark.plan.distractors
    for number, tier in enumerate(benchmark.plan.tiers):
        scores = [benchmark.score("recall", "value named", tier, distractors=level) for level in levels]
        places = [place + 0.06 * (number - 1) for place in range(len(levels))]  # side by side, to be told apart
        axes.errorbar(
            places, _percent(scores), yerr=_errors(scores), color=_COLOURS[number], marker=_MARKS[number],
            markersize=4, linewidth=1.4, elinewidth=0.8, capsize=2,
        )  # fmt: skip
    axes.set_xticks(range(len(levels)), [f"{level:,}" for level in levels])
    axes.set_title("among other stored vectors")
    _percent_axis(axes)


def _percent(scores: list[Score]) -> list[float]:
    return [100 * score.share for score in scores]


def _errors(scores: list[Score]) -> list[list[float]]:
    """Distances from the share to the ends of its interval: [below], [above]."""
    below = [100 * max(0.0, score.share - score.interval[0]) if score.total else 0.0 for score in scores]
    above = [100 * max(0.0, score.interval[1] - score.share) if score.total else 0.0 for score in scores]
    return [below, above]


def _percent_axis(axes: Any) -> None:
    axes.set_ylim(0, 100)
    axes.grid(axis="y", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
