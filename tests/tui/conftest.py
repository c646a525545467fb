"""What every test of the screen shares."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def profile_dir(tmp_path: Path) -> Path:
    """A profile folder that does not exist yet."""
    return tmp_path / "profiles" / "default"


@pytest.fixture(autouse=True)
def quiet_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings must not colour the tests."""
    for variable in ("NO_COLOR", "TEXTUAL_ANIMATIONS", "TEXTUAL_THEME", "COLUMNS", "LINES"):
        monkeypatch.delenv(variable, raising=False)
