"""A new memory begins with what its model asks for, and keeps that as its own."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from training.cli.train_flags import INDEX_TYPES as NAMED
from varda_chat.cli.main import main
from varda_chat.config.paths import bundled_checkpoint
from varda_chat.errors import VardaError
from varda_chat.memory import MemoryStore
from varda_chat.memory.export import write_export
from varda_chat.memory.index.registry import INDEX_TYPES
from varda_chat.memory.records import NewStatement, NewVector, TurnChanges
from varda_chat.memory.schema import MemorySettings, migrate
from varda_chat.session.session import ChatSession

SMALL = MemorySettings(size=40, index_type="ivf", num_clusters=3, forgetfulness=0.5)


@pytest.fixture
def asking(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint that asks for a memory of another kind."""
    directory = tmp_path / "asking"
    shutil.copytree(tiny_checkpoint, directory)
    path = directory / "config.json"
    asked = {"memory_size": 40, "index_type": "ivf", "num_clusters": 3, "forgetfulness_factor": 0.5}
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | asked), encoding="utf-8")
    return directory


def test_a_chat_begins_its_memory_as_the_checkpoint_says(asking: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    directory = tmp_path / "profile"
    with ChatSession.open(directory, asking) as session:
        assert session.memory.capacity == 40
        store = session.memory.store
        assert store.reader.index_type() == "ivf"
        assert store.forgetfulness_factor == 0.5
        mirror = store.core.mirror
        assert mirror is not None
        assert mirror.memory.settings()["num_clusters"] == 3
    with ChatSession.open(directory, tiny_checkpoint) as session:
        assert session.memory.capacity == 40, "another model finds the memory as it is"
        assert session.memory.store.reader.index_type() == "ivf"
    with ChatSession.open(directory, tiny_checkpoint, memory_size=50, forgetfulness_factor=0.0) as session:
        assert session.memory.capacity == 50
        assert session.memory.store.forgetfulness_factor == 0.0
    with MemoryStore.open_records(directory) as records:
        assert records.capacity == 50, "what was asked for stays"


def test_the_bundled_model_asks_for_what_it_always_had() -> None:
    config = json.loads((bundled_checkpoint() / "config.json").read_text(encoding="utf-8"))
    assert MemorySettings.of_model(config) == MemorySettings(10_000, "flat", 1024, 0.0)


def test_what_the_memory_forgets_at_its_end_is_its_own(tmp_path: Path) -> None:
    every = MemorySettings(forgetfulness=1.0)
    with MemoryStore.open(tmp_path, embedding_dim=4, fingerprint="m", begin_with=every) as store:
        assert store.forgetfulness_factor == 1.0
    with MemoryStore.open_records(tmp_path) as records:
        assert records.forgetfulness_factor == 0.0, "looking forgets nothing"
    with MemoryStore.open(tmp_path, embedding_dim=4, fingerprint="m") as store:
        assert store.forgetfulness_factor == 1.0


def test_a_memory_of_before_keeps_what_it_had(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    migrate(db, 3)  # the last version whose memories had no settings of their own
    db.execute("UPDATE meta SET generation = 3")
    db.close()
    with MemoryStore.open(tmp_path, embedding_dim=4, fingerprint="m", begin_with=SMALL) as store:
        assert store.capacity == 10_000
        assert store.reader.index_type() == "flat"
        assert store.forgetfulness_factor == 0.0


@pytest.mark.parametrize(
    "wrong", [{"memory_size": 0}, {"num_clusters": 0}, {"forgetfulness_factor": 2.0}, {"index_type": "tree"}]
)
def test_what_no_memory_can_be_is_refused(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(VardaError):
        MemoryStore.open(tmp_path / "new", embedding_dim=4, fingerprint="m", begin_with=MemorySettings.of_model(wrong))


def test_an_import_warns_by_the_memorys_own_capacity(asking: Path, tmp_path: Path) -> None:
    """The checkpoint's, where the memory is made by the import."""
    export = tmp_path / "memory.jsonl"
    vectors = np.eye(42, 16, dtype=np.float32) + 0.01
    told = [NewStatement(f"line {n}", "user", (NewVector(v, n, f"t{n}", 0.9),)) for n, v in enumerate(vectors)]
    with MemoryStore.open(tmp_path / "from", embedding_dim=16, fingerprint="m") as store:
        store.apply(TurnChanges(stores=tuple(told)), session="s")
        write_export(export, store.reader.exported(), vectors=True)
    place = ["--data-dir", str(tmp_path / "home"), "--checkpoint", str(asking)]
    result = CliRunner().invoke(main, ["memory", "import", *place, str(export)])
    assert result.exit_code == 0, result.output
    assert "keeps 40 vectors: 2," in result.stderr


def test_the_flag_names_the_index_types_there_are() -> None:
    assert set(NAMED) == set(INDEX_TYPES)
