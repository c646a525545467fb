"""Draws the recall benchmark: facts recalled by tier under each condition, and against the number of distractors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from training.evaluation.figures.page import CONDITION_NAMES, models
from training.evaluation.figures.store import Figures
from training.evaluation.recall.benchmark import Benchmark
from training.evaluation.recall.report import conditions
from training.evaluation.recall.tasks import TIERS, Tier
from training.evaluation.scoring import Score
from varda_chat.config.installer import install_command
from varda_chat.errors import StorageError, VardaError

FORMATS = (".svg", ".png")
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito: told apart by the colour-blind, too
_MARKS = ("o", "s", "^", "D")
_INK, FAINT = "#222222", "#cccccc"


def check_chart(path: Path) -> None:
    """Raises VardaError, with what to do, where no chart can be drawn into ``path``: before anything is measured."""
    if path.suffix.lower() not in FORMATS:
        raise VardaError(f"--chart {path.name}: a chart is drawn as {' or '.join(FORMATS)}.")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise VardaError(f"--chart needs the library matplotlib: {install_command('varda-chat[bench]')}.") from error


@dataclass(frozen=True)
class _Run:
    """What is drawn of a model: scores by condition and tier, and by number of distractors and tier."""

    name: str
    tiers: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, Score]]
    distractors: Mapping[int, Mapping[str, Score]]


def draw_chart(benchmark: Benchmark, path: Path) -> None:
    """Write the chart of a run with the recall task to ``path`` (.svg or .png). Raises StorageError."""
    tiers, levels = benchmark.plan.tiers, benchmark.plan.distractors
    run = _Run(
        "",
        tiers,
        {each: {tier: benchmark.recall(each, tier) for tier in tiers} for each in conditions(benchmark)},
        {
            level: {tier: benchmark.score("recall", "value named", tier, distractors=level) for tier in tiers}
            for level in levels
        },
    )
    _draw([run], path)


def draw_figures(figures: Figures, path: Path) -> None:
    """Write the chart of the models in ``figures``, one below the other. Raises StorageError, and VardaError where no
    recall was measured."""
    runs = []
    for name in models(figures):
        found = figures["models"][name].get("recall", {})
        if "conditions" in found:
            tiers = tuple(tier for tier in TIERS if tier in found["conditions"]["memory"])
            shown = {
                each: _scores(found["conditions"][each]) for each in CONDITION_NAMES if each in found["conditions"]
            }
            distractors = {int(level): _scores(scores) for level, scores in found["distractors"].items()}
            runs.append(_Run(name, tiers, shown, distractors))
    if not runs:
        raise VardaError("There is no recall in these figures that could be drawn.")
    _draw(runs, path)


def _scores(found: Mapping[str, Any]) -> dict[str, Score]:
    return {tier: Score(score["right"], score["total"]) for tier, score in found.items()}


@contextmanager
def drawn_to(path: Path, size: tuple[float, float]) -> Iterator[Any]:
    """A figure of ``size`` (inches), in the manner of all charts; what is drawn in it is written to ``path``. Raises
    StorageError."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "font.size": 9, "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": FAINT, "xtick.color": _INK,
        "ytick.color": _INK, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
        "axes.titlesize": 10, "svg.hashsalt": "varda-chat",
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        yield figure
        try:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise StorageError(f"The chart could not be written: {error}") from error


def _draw(runs: Sequence[_Run], path: Path) -> None:
    among = any(len(run.distractors) > 1 for run in runs)
    with drawn_to(path, (9.0 if among else 6.0, 0.4 + 3.0 * len(runs))) as figure:
        ratios = [1.7, 1.0] if among else [1.0]
        rows = figure.subplots(
            len(runs), len(ratios), squeeze=False, sharey=True, gridspec_kw={"width_ratios": ratios}
        )  # fmt: skip
        for run, axes in zip(runs, rows, strict=True):
            _conditions(run, axes[0])
            if len(run.distractors) > 1:
                _distractors(run, axes[1])
            elif among:
                axes[1].set_axis_off()
        figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)


def _conditions(run: _Run, axes: Any) -> None:
    """Groups of bars, one group a condition, one bar a tier."""
    width = 0.8 / len(run.tiers)
    for number, tier in enumerate(run.tiers):
        scores = [scores.get(tier, Score(0, 0)) for scores in run.conditions.values()]
        places = [place + (number - (len(run.tiers) - 1) / 2) * width for place in range(len(scores))]
        axes.bar(
            places, _percent(scores), width * 0.92, yerr=_errors(scores), color=_colour(tier),
            label=f"{tier} phrasings", error_kw={"elinewidth": 0.8, "ecolor": _INK},
        )  # fmt: skip
    names = [condition.replace("-in-", " in\n").replace("-", "\n") for condition in run.conditions]
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", length=0)
    axes.set_title(f"{run.name + ': ' if run.name else ''}facts recalled in a new session, and under controls")
    _percent_axis(axes)
    axes.set_ylabel("%")


def _distractors(run: _Run, axes: Any) -> None:
    """A line a tier over the numbers of distractors, evenly spaced."""
    levels = sorted(run.distractors)
    for number, tier in enumerate(run.tiers):
        scores = [run.distractors[level].get(tier, Score(0, 0)) for level in levels]
        places = [place + 0.06 * (number - 1) for place in range(len(levels))]  # side by side, to be told apart
        axes.errorbar(
            places, _percent(scores), yerr=_errors(scores), color=_colour(tier), marker=_MARKS[_place(tier)],
            markersize=4, linewidth=1.4, elinewidth=0.8, capsize=2,
        )  # fmt: skip
    axes.set_xticks(range(len(levels)), [f"{level:,}" for level in levels])
    axes.set_title("among other stored vectors")
    _percent_axis(axes)


def _colour(tier: str) -> str:
    return COLOURS[_place(tier)]


def _place(tier: str) -> int:
    """A tier's place among the colours and marks, the same whatever it is drawn beside."""
    return get_args(Tier).index(tier)


def _percent(scores: list[Score]) -> list[float]:
    return [100 * score.share for score in scores]


def _errors(scores: list[Score]) -> list[list[float]]:
    """Distances from the share to the ends of its interval: [below], [above]."""
    below = [100 * max(0.0, score.share - score.interval[0]) if score.total else 0.0 for score in scores]
    above = [100 * max(0.0, score.interval[1] - score.share) if score.total else 0.0 for score in scores]
    return [below, above]


def _percent_axis(axes: Any) -> None:
    axes.set_ylim(0, 100)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
