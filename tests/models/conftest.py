"""Tiny decoders of each architecture with a memory for them, and tiny bases, in a package and in a directory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers import tiny_bases
from tests.helpers.tiny_decoders import KINDS, ChainedMemory, as_row, conversation, tiny_decoder
from varda_chat.models.bases import Base


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def model(kind: str) -> Any:
    return tiny_decoder(kind)


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return torch.tensor([as_row(conversation(0)), as_row(conversation(7))])


@pytest.fixture
def memory() -> ChainedMemory:
    return ChainedMemory.of(9)


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """A base in an installed package."""
    pytest.importorskip("gguf")
    place = tmp_path / "site"
    base = tiny_bases.make_package(place)
    monkeypatch.syspath_prepend(place)
    return base


@pytest.fixture
def uninstall(packaged: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Takes the package of ``packaged`` off the path."""

    def off_the_path() -> None:
        monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(tmp_path / "site")])

    return off_the_path


@pytest.fixture
def local(tmp_path: Path) -> tuple[Base, Path]:
    """A base in a directory in Hugging Face layout."""
    return tiny_bases.save_base(tmp_path / "base"), tmp_path / "base"
