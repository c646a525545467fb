"""A saved run that was damaged afterwards: which file it is, and the save before it is gone on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.checkpointing import Saves
from varda_chat.errors import DataError

FILES = ("model.safetensors", "optimizer.bin", "random_states_0.pkl")


def save(saves: Saves, step: int) -> None:
    saves.begin()
    saves.fresh.mkdir(parents=True)
    for name in FILES:
        (saves.fresh / name).write_bytes(f"{name} of step {step} ".encode() * 100)
    saves.finish({"step": step})


@pytest.fixture
def saves(tmp_path: Path) -> Saves:
    """Saves of the steps 2 and 4."""
    saves = Saves(tmp_path)
    save(saves, 2)
    save(saves, 4)
    return saves


def test_whole_saves_stay(saves: Saves) -> None:
    assert saves.settle() == []
    assert saves.kept_step() == 4


@pytest.mark.parametrize("name", [*FILES, "run.json"])
@pytest.mark.parametrize("how", ["cut", "flipped", "removed"])
def test_a_damaged_save_is_set_aside_and_the_one_before_it_is_used(saves: Saves, name: str, how: str) -> None:
    path = saves.last / name
    content = bytearray(path.read_bytes())
    if how == "removed":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0x80
        path.write_bytes(content)
    (said,) = saves.settle()
    assert str(path) in said
    assert saves.newest() == saves.old
    assert saves.kept_step() == 2
    assert saves.settle() == []
    save(saves, 4)  # a kill from here on has the save of step 2 to resume from
    assert saves.kept_step() == 4
    assert saves.state()["step"] == 4


def test_two_damaged_saves_are_named(saves: Saves) -> None:
    for directory in (saves.last, saves.old):
        (directory / "optimizer.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"last/optimizer\.bin.*last\.old/optimizer\.bin"):
        saves.settle()


def test_a_save_of_an_earlier_version_is_taken_as_it_is(saves: Saves) -> None:
    (saves.last / "run.json").write_text('{"step": 4}')
    assert saves.settle() == []
