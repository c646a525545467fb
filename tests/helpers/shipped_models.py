"""Fixtures: a package with one complete model and one adapter, and the base of the adapter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers import tiny_bases
from varda_chat.config import paths
from varda_chat.models import bases
from varda_chat.models.bases import Base


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """A known base in an installed package."""
    pytest.importorskip("gguf")
    found = tiny_bases.make_package(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(bases.KNOWN, found.name, found)
    return found


@pytest.fixture
def shipped(base: Base, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped models: ``default``, an adapter, and ``mini``, a complete one."""
    place = tmp_path / "checkpoints"
    tiny_bases.save_adapter(place / "default", base)
    shutil.copytree(tiny_checkpoint, place / "mini")
    monkeypatch.setattr(paths, "checkpoints_dir", lambda: place)
    return place
