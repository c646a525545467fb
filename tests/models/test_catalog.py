"""The models to choose from, read from their files, and the profiles there are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from varda_chat.config.paths import bundled_checkpoint
from varda_chat.errors import CheckpointError, MemoryLockedError
from varda_chat.models import catalog
from varda_chat.models.catalog import BUNDLED
from varda_chat.models.checkpoint import load_checkpoint
from varda_chat.session import profiles
from varda_chat.session.session import ChatSession
from varda_chat.storage.locks import take_lock


def test_the_files_tell_what_loading_would(tiny_checkpoint: Path) -> None:
    for source in (str(tiny_checkpoint), BUNDLED):
        model = catalog.look(source)
        assert model.directory is not None
        loaded = load_checkpoint(model.directory)
        assert model.parameters == loaded.parameters
        assert catalog.fingerprint(model) == loaded.fingerprint
        assert model.bytes == (model.directory / "model.safetensors").stat().st_size


def test_the_card_is_its_first_lines_without_front_matter(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert catalog.look(BUNDLED).card[0].startswith("Varda")
    assert catalog.look(BUNDLED).directory == bundled_checkpoint()
    directory = tmp_path / "mine"
    shutil.copytree(tiny_checkpoint, directory)
    card = "---\nlicense: mit\n---\n\n# Mine\x1b[31m\n\n| a |\n\nSmall,\nand mine.\n\nMore."
    (directory / "README.md").write_text(card, "utf-8")
    assert catalog.look(str(directory)).card == ("Mine", "Small, and mine.")


def test_what_is_known(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert [each.name for each in catalog.known(tmp_path)] == ["mini", "default"]
    shutil.copytree(tiny_checkpoint, tmp_path / "checkpoints" / "own")
    catalog.note_used(tmp_path, str(tiny_checkpoint))
    catalog.note_used(tmp_path, "somebody/theirs")
    catalog.note_used(tmp_path, "somebody/theirs")
    catalog.note_used(tmp_path, str(tmp_path / "gone"))
    found = catalog.known(tmp_path, ["/nowhere", str(tiny_checkpoint)])
    assert [each.name for each in found] == ["mini", "default", "own", tiny_checkpoint.name, "somebody/theirs"]
    assert catalog.fingerprint(found[-1]) == ""
    for index in range(20):
        catalog.note_used(tmp_path, f"somebody/number-{index}")
    assert len(catalog.known(tmp_path)) == 15


def test_a_shipped_model_is_known_by_its_name(tmp_path: Path) -> None:
    model = catalog.look("default")
    assert model.directory is not None
    assert model.directory.name == model.name == "default"
    assert model.card[0].startswith("Varda")


def test_broken_files_are_no_more_than_unknown(tiny_checkpoint: Path, tmp_path: Path) -> None:
    directory = tmp_path / "broken"
    directory.mkdir()
    (directory / "model.safetensors").write_bytes(b"\xff" * 64)
    (tmp_path / "models-used.json").write_text("{")
    model = catalog.look(str(directory))
    assert (model.parameters, model.card) == (0, ())
    with pytest.raises(CheckpointError, match=r"weights in .*broken cannot be read"):
        catalog.fingerprint(model)
    assert [each.name for each in catalog.known(tmp_path)] == ["mini", "default"]


def test_profiles_and_whether_they_are_free(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert profiles.known(tmp_path) == {}
    directory = tmp_path / "profiles" / "work"
    profiles.check_free(directory)
    assert not directory.exists()
    with ChatSession.open(directory, tiny_checkpoint) as session:
        session.memory.remember("My dog is called Rimba.")
    assert profiles.known(tmp_path)["work"].statements == 1
    profiles.check_free(directory)
    lock = take_lock(directory)
    with pytest.raises(MemoryLockedError):
        profiles.check_free(directory)
    lock.release()
