"""The endpoint over a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.endpoint import Served, served
from varda_chat.config.defaults import GenerationSettings
from varda_chat.session.session import ChatSession
from varda_chat.transcripts import Transcripts


@pytest.fixture
def endpoint(tiny_checkpoint: Path, tmp_path: Path) -> Iterator[Served]:
    directory = tmp_path / "profile"
    with Transcripts.open(directory) as transcripts:
        session = ChatSession.open(
            directory,
            tiny_checkpoint,
            generation=GenerationSettings(temperature=0.0, max_new_tokens=8),
            transcripts=transcripts,
        )
        with served(session) as one:
            yield one
