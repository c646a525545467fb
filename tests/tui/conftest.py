"""What every test of the screen shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from varda_chat.transcripts import Transcripts


@pytest.fixture
def profile_dir(tmp_path: Path) -> Path:
    """A profile folder that does not exist yet."""
    return tmp_path / "profiles" / "default"


@pytest.fixture
def transcripts(profile_dir: Path) -> Iterator[Transcripts]:
    """The profile's sessions, in a real file."""
    with Transcripts.open(profile_dir) as transcripts:
        yield transcripts


@pytest.fixture(autouse=True)
def quiet_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings must not colour the tests."""
    for variable in ("NO_COLOR", "TEXTUAL_ANIMATIONS", "TEXTUAL_THEME", "COLUMNS", "LINES"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def fingerprint(tiny_checkpoint: Path) -> str:
    from varda_chat.model.checkpoint import load_checkpoint

    return load_checkpoint(tiny_checkpoint).fingerprint
