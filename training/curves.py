"""Draws a run's curves: losses, what the memory gives, and what it does, over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from varda_chat.config.installer import install_command

FILES = ("curves.png", "curves.svg")
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito: told apart by the colour-blind, too
_INK, _FAINT = "#222222", "#cccccc"

Line = tuple[str, list[int], list[float]]
"""What a curve is of, its steps, its values."""


def draw_curves(records: Sequence[dict[str, Any]], directory: Path) -> str | None:
    """Draw the ``records`` of a run's metrics into ``directory``. Returns a line to say where it cannot be done."""
    try:
        import matplotlib as mpl
    except ImportError:
        return f"No curves were drawn: that needs matplotlib ({install_command('varda-chat[bench]')})."
    from matplotlib.figure import Figure

    style = {
        "font.size": 9, "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _FAINT, "xtick.color": _INK,
        "ytick.color": _INK, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
        "axes.titlesize": 10, "svg.hashsalt": "varda-chat",
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(11.0, 3.4), layout="constrained", facecolor="white")
        for axes, (title, lines) in zip(figure.subplots(1, 3), panels(records).items(), strict=True):
            for (label, steps, values), colour in zip(lines, _COLOURS, strict=False):
                axes.plot(
                    steps, values, color=colour, label=label, linewidth=1.4, marker="." if len(steps) < 40 else ""
                )
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.grid(axis="y", color=_FAINT, linewidth=0.6)
            if title.endswith("%"):
                axes.set_ylim(0, 1.1 * max([1.0, *(value for _, _, values in lines for value in values)]))
            if lines:
                axes.legend(frameon=False)
        for name in FILES:
            figure.savefig(directory / name, dpi=160, metadata={"Date": None} if name.endswith(".svg") else None)
    return None


def panels(records: Sequence[dict[str, Any]]) -> dict[str, list[Line]]:
    """The curves of each panel, by its title."""
    steps = [record for record in records if "validation" not in record]
    validations = [record for record in records if "validation" in record]

    def of_steps(label: str, name: str, scale: float = 1.0) -> Line:
        there = [record for record in steps if name in record]
        return label, [record["step"] for record in there], [scale * record[name] for record in there]

    def of_validations(label: str, name: str) -> Line:
        return label, [v["step"] for v in validations], [100 * v["validation"][name] for v in validations]

    everywhere = [record["step"] for record in validations]
    return {
        "loss a token": [
            of_steps("training, dialogue or text", "talk"),
            of_steps("training, episodes", "facts"),
            ("validation, dialogue or text", everywhere, [v["validation"]["loss"] for v in validations]),
            ("validation, episodes", everywhere, [v["validation"]["facts_loss"] for v in validations]),
        ],
        "values right in validation, %": [
            of_validations("soft stores", "values_soft"),
            of_validations("stores as in chat", "values_hard"),
            of_validations("no memory", "values_without"),
        ],
        "the memory in training, %": [
            of_steps("found of what is sought", "retrieval_hits", 100),
            of_steps("stored of all tokens", "store_rate", 100),
        ],
    }
