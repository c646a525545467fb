"""The map of the memory: what any vectors and names must hold to, and what near vectors must."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rich.cells import cell_len

from varda_chat.tui.controllers.mapping import (
    DIRECTIONS,
    Layout,
    lay_out,
    name_of,
    neighbour,
    project,
    together,
    zoomed,
)

NAMES = st.text(
    st.sampled_from("ab cdé ぁ🙂\u0301.…[/x]\x1b\u202e\n"), max_size=40
)  # wide, combining, hostile  # fmt: skip
VECTORS = st.integers(0, 40).flatmap(
    lambda count: arrays.arrays(np.float32, (count, 5), elements=st.floats(-100, 100, width=32))
)


def laid_out(vectors: np.ndarray, names: list[str], width: int, height: int, times: float = 1.0) -> Layout:
    projection = project(vectors)
    window = projection.window
    if times > 1:
        window = zoomed(window, projection.places[0].tolist(), times)
    return lay_out(projection, names, range(len(vectors)), width, height, window)


@given(VECTORS, st.data(), st.integers(1, 120), st.integers(1, 40), st.sampled_from([1.0, 2.0, 64.0]))
@settings(max_examples=150, deadline=None)
def test_names_overlap_nothing_and_stay_inside(
    vectors: np.ndarray, data: st.DataObject, width: int, height: int, times: float
) -> None:
    names = [name_of(data.draw(NAMES), 12) for _ in vectors]
    layout = laid_out(vectors, names, width, height, times if len(vectors) else 1.0)
    taken: set[tuple[int, int]] = set()
    for label in layout.labels:
        assert layout.is_inside(label.point)
        assert label.text == names[label.point]
        cells = {(x, label.y) for x in range(label.x, label.x + cell_len(label.text))}
        assert cells
        assert not cells & taken
        assert all(0 <= x < width and 0 <= y < height for x, y in cells)
        taken |= cells
    named = {tuple(layout.cells[label.point].tolist()) for label in layout.labels}
    assert len(named) == len(layout.labels)  # one a cell
    assert not named & taken  # a point that has a name is seen
    if times == 1.0:
        assert all(layout.is_inside(point) for point in range(len(vectors)))
    for point in range(len(vectors)):
        assert point in together(layout, point)
        for direction, (across, down) in DIRECTIONS.items():
            found = neighbour(layout, point, direction)
            away = layout.cells - layout.cells[point]
            ahead = away[:, 0] * across + away[:, 1] * down
            assert (found is None) == (not (ahead > 0).any())
            assert found is None or ahead[found] > 0


@given(st.text(max_size=80), st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_a_name_fits_its_cells(text: str, cells: int) -> None:
    name = name_of(text, cells)
    assert cell_len(name) <= cells
    assert "\n" not in name
    assert "\x1b" not in name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My dog is called Rimba.", "My dog is called Rimba"),
        ("My favourite soup is, of all, caldo verde.", "My favourite soup is, of…"),
        ("Donaudampfschifffahrtsgesellschaft", "Donaudampfschifffahrtsges…"),
        ("...", "..."),
    ],
)
def test_names_are_cut_between_words(text: str, name: str) -> None:
    assert name_of(text, 26) == name


def clusters(count: int = 12, dim: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of three groups that lie apart, and the group of each."""
    rng = np.random.default_rng(3)
    centres = 6 * rng.standard_normal((3, dim))
    groups = np.arange(count * 3) % 3
    return (centres[groups] + 0.3 * rng.standard_normal((count * 3, dim))).astype(np.float32), groups


def test_near_vectors_are_near_on_the_map() -> None:
    vectors, groups = clusters()
    projection = project(vectors)
    assert projection.share > 0.9
    cells = laid_out(vectors, ["x"] * len(vectors), 100, 30).cells * (1, 2)
    for point, group in enumerate(groups):
        away = np.linalg.norm(cells - cells[point], axis=1)
        assert away[groups == group].max() < away[groups != group].min()


def test_the_axes_are_the_principal_ones() -> None:
    vectors, _ = clusters()
    places = project(vectors).places
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    expected = np.linalg.eigvalsh(centred.T @ centred)[::-1][:2]
    np.testing.assert_allclose((places**2).sum(axis=0), expected, rtol=1e-5)
    assert abs(places[:, 0] @ places[:, 1]) < 1e-6 * expected[0]
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-6)


def test_the_same_memories_are_always_in_the_same_places() -> None:
    vectors, _ = clusters()
    first = project(vectors).places
    order = np.random.default_rng(0).permutation(len(vectors))
    np.testing.assert_allclose(project(vectors[order]).places, first[order], atol=1e-6)
    np.testing.assert_allclose(project(vectors + 1).places, first, atol=1e-4)  # neither sign nor place changes


@pytest.mark.parametrize("count", [0, 1, 5])
def test_vectors_that_do_not_differ_have_one_place(count: int) -> None:
    projection = project(np.full((count, 8), 0.7, dtype=np.float32))
    assert not projection.places.any()
    assert projection.share == 1.0
    layout = laid_out(np.full((count, 8), 0.7, dtype=np.float32), ["same"] * count, 40, 9)
    assert len(layout.labels) == min(1, count)


def test_a_full_map_is_drawn_at_once_and_still_has_names() -> None:
    vectors = np.random.default_rng(0).standard_normal((2000, 256)).astype(np.float32)
    started = time.process_time()
    layout = laid_out(vectors, [f"memory {number}" for number in range(2000)], 120, 30)
    print(f"2,000 points were laid out in {time.process_time() - started:.2f} s of processor time")
    assert len(layout.labels) >= 120 * 30 // 300
