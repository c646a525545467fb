"""What every test of the screen shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.tui.memories import DIM, lived_in
from tests.helpers.tui.scripted import ScriptedSession
from varda_chat.memory import MemoryStore
from varda_chat.transcripts import Transcripts


@pytest.fixture
def profile_dir(tmp_path: Path) -> Path:
    """A profile directory that does not exist yet."""
    return tmp_path / "profiles" / "default"


@pytest.fixture
def transcripts(profile_dir: Path) -> Iterator[Transcripts]:
    """The profile's sessions, in a real file."""
    with Transcripts.open(profile_dir) as transcripts:
        yield transcripts


@pytest.fixture
def home_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile directory in the place where a person has it, so that what is shown is the same on every machine."""
    data = tmp_path / ".local" / "share" / "varda-chat"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VARDA_CHAT_HOME", str(data))
    return data / "profiles" / "default"


@pytest.fixture
def remembering(profile_dir: Path) -> Iterator[ScriptedSession]:
    """A session over a memory that has been lived in."""
    lived_in(profile_dir, "a model")
    with MemoryStore.open(profile_dir, embedding_dim=DIM, fingerprint="a model") as store:
        yield ScriptedSession(store=store)


@pytest.fixture(autouse=True)
def quiet_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings must not colour the tests."""
    for variable in ("NO_COLOR", "TEXTUAL_ANIMATIONS", "TEXTUAL_THEME", "COLUMNS", "LINES"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def fingerprint(tiny_checkpoint: Path) -> str:
    from varda_chat.models.checkpoint import load_checkpoint

    return load_checkpoint(tiny_checkpoint).fingerprint
