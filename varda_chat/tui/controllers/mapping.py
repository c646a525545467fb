"""A map of statements: their vectors brought to two dimensions, and names laid out in a grid of cells. No state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.cells import cell_len

from varda_chat.text import one_line

if TYPE_CHECKING:  # numpy loads when a map is drawn, long after the first paint
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]
    Cells: TypeAlias = npt.NDArray[np.int64]

Window = tuple[float, float, float, float]
"""The part of a projection that is shown: left, bottom, right, top."""

_NOTHING = 1e-12  # share of the variance, or of the vectors' own squares, below which an axis is rounding
_CELLS_A_NAME = 300
"""Where dots leave no room, names may lie over dots until there is one for so many cells."""
_TALL = 2.0
"""A cell is about twice as tall as wide."""
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True)
class Projection:
    """Where n vectors are on their two principal axes (n, 2), and the share (0 to 1) of their variance on these."""

    places: Floats
    share: float

    @property
    def window(self) -> Window:
        """What holds all places."""
        if not len(self.places):
            return (0.0, 0.0, 0.0, 0.0)
        (left, bottom), (right, top) = self.places.min(axis=0), self.places.max(axis=0)
        return float(left), float(bottom), float(right), float(top)


@dataclass(frozen=True)
class Label:
    """The name of a point, from the cell (x, y) on."""

    point: int
    x: int
    y: int
    text: str


@dataclass(frozen=True)
class Layout:
    """Points and names in ``width`` by ``height`` cells. ``cells``: (n, 2) x and y of each point, also of those that
    are outside; ``origin``: of the point where both axes are 0."""

    width: int
    height: int
    cells: Cells
    labels: tuple[Label, ...]
    origin: tuple[int, int]

    def is_inside(self, point: int) -> bool:
        """Whether the point is in the grid."""
        x, y = self.cells[point]
        return bool(0 <= x < self.width and 0 <= y < self.height)


def project(vectors: npt.NDArray[np.floating[Any]]) -> Projection:
    """Principal component analysis of ``vectors`` (n, dim).

    By the eigenvectors of the covariance, which for thousands of vectors takes a fraction of their singular value
    decomposition. The same vectors give the same places: an axis' largest loading is a positive one.
    """
    import numpy as np

    count = len(vectors)
    places = np.zeros((count, 2))
    if not count:
        return Projection(places, 1.0)
    whole = vectors.astype(np.float64)
    centred = whole - whole.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred)  # ascending; an axis a column
    variances, axes = variances[::-1], axes.T[::-1]
    least = _NOTHING * max(float(variances[0]), float((whole**2).sum()))
    real = int((variances[:2] > least).sum())
    axes = axes[:real]
    strongest = axes[np.arange(real), np.abs(axes).argmax(axis=1)]
    places[:, :real] = centred @ (axes * np.sign(strongest)[:, None]).T
    return Projection(places, float(variances[:real].sum() / variances.sum()) if real else 1.0)


def zoomed(whole: Window, centre: Sequence[float], times: float) -> Window:
    """A part of ``whole``, ``times`` smaller on each side, around ``centre``."""
    half_width, half_height = (whole[2] - whole[0]) / times / 2, (whole[3] - whole[1]) / times / 2
    return centre[0] - half_width, centre[1] - half_height, centre[0] + half_width, centre[1] + half_height


def name_of(text: str, cells: int) -> str:
    """``text`` as a name of at most ``cells`` cells, cut between words where that is possible."""
    name = one_line(text, 4 * cells)
    name = name.rstrip(".") or name
    if cell_len(name) <= cells:
        return name
    short = ""
    for word in name.split(" "):
        longer = f"{short} {word}".lstrip()
        if cell_len(longer) > cells - 1:
            break
        short = longer
    if not short:
        for character in name:
            if cell_len(short + character) > cells - 1:
                break
            short += character
    return short.rstrip(" ,;:.…") + "…"


def lay_out(
    projection: Projection, names: Sequence[str], order: Sequence[int], width: int, height: int, window: Window
) -> Layout:
    """Put the points of ``window`` into cells, and as many names as fit beside them, in ``order``, one a cell: no name
    lies over another, over a point that has one, or beyond the edge."""
    import numpy as np

    cells = _cells(projection.places, width, height, window)
    origin = _cells(np.zeros((1, 2)), width, height, window)[0]
    taken, dots = np.zeros((height, width), dtype=bool), np.zeros((height, width), dtype=bool)
    inside = (cells >= 0).all(axis=1) & (cells[:, 0] < width) & (cells[:, 1] < height)
    dots[cells[inside, 1], cells[inside, 0]] = True
    labels: list[Label] = []
    enough = max(1, width * height // _CELLS_A_NAME)
    for over_dots in (False, True):
        for point in order:
            x, y = cells[point]
            if not inside[point] or taken[y, x] or (over_dots and len(labels) >= enough):
                continue
            dots[y, x] = False  # its own does not stand in its way
            for label in _beside(point, int(x), int(y), names[point]):
                if _fits(label, taken, None if over_dots else dots):
                    taken[label.y, label.x : label.x + cell_len(label.text)] = True
                    taken[y, x] = True
                    labels.append(label)
                    break
            dots[y, x] = True
    return Layout(width, height, cells, tuple(labels), (int(origin[0]), int(origin[1])))


def neighbour(layout: Layout, point: int, direction: str) -> int | None:
    """The nearest point in a direction (left, right, up, down) as the eye sees it; None where there is none."""
    import numpy as np

    across, down = DIRECTIONS[direction]
    away = (layout.cells - layout.cells[point]) * (1.0, _TALL)
    ahead = away[:, 0] * across + away[:, 1] * down
    aside = np.abs(away[:, 0] * down) + np.abs(away[:, 1] * across)
    there = np.flatnonzero(ahead > 0)
    if not len(there):
        return None
    # straight ahead before beside: what is more beside than ahead comes last
    cost = ahead[there] + 2 * aside[there] + 1e6 * (aside[there] > ahead[there])
    return int(there[cost.argmin()])


def together(layout: Layout, point: int) -> list[int]:
    """The points in the same cell, ``point`` among them, in their order."""
    import numpy as np

    return np.flatnonzero((layout.cells == layout.cells[point]).all(axis=1)).tolist()


def _cells(places: Floats, width: int, height: int, window: Window) -> Cells:
    """The cells of places: the window fills the grid, but for a column at either side where there is room."""
    import numpy as np

    left, bottom, right, top = window
    edge = 1 if width > 2 else 0
    x = _scaled(places[:, 0], left, right, edge, width - 1 - edge)
    y = _scaled(places[:, 1], top, bottom, 0, height - 1)
    return np.clip(np.stack([x, y], axis=1), -(2**31), 2**31).astype(np.int64)


def _scaled(values: Floats, start: float, end: float, first: int, last: int) -> Floats:
    import numpy as np

    if start == end:
        return np.full(len(values), float((first + last) // 2))
    scaled: Floats = np.rint(first + (values - start) / (end - start) * (last - first))
    return scaled


def _beside(point: int, x: int, y: int, text: str) -> Iterator[Label]:
    """Where the name of a point in the cell (x, y) may stand, the best place first."""
    size = cell_len(text)
    for column, row in ((x + 2, y), (x - 1 - size, y), (x - size // 2, y - 1), (x - size // 2, y + 1)):
        yield Label(point, column, row, text)


def _fits(label: Label, taken: npt.NDArray[np.bool_], dots: npt.NDArray[np.bool_] | None) -> bool:
    """Whether the name has room, with a cell free at either side."""
    height, width = taken.shape
    end = label.x + cell_len(label.text)
    if end == label.x or label.x < 0 or end > width or not 0 <= label.y < height:
        return False
    around = slice(max(0, label.x - 1), end + 1)
    return not taken[label.y, around].any() and (dots is None or not dots[label.y, around].any())
