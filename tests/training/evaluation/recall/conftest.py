"""Two people whose memories a tiny model filled."""

from __future__ import annotations

import pytest

from tests.helpers.people import person_of
from training.evaluation.recall.telling import Person, tell
from varda_chat.models.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def people(checkpoint: Checkpoint, short_replies: None, tmp_path_factory: pytest.TempPathFactory) -> list[Person]:
    """Two people who have told their facts; their memories hold what the tiny model stored."""
    directory = tmp_path_factory.mktemp("people")
    scripts = (
        person_of(("My dog is called Rimba.", "Rimba"), ("I live in Lisbon.", "Lisbon")),
        person_of(("My cat is Tom.", "Tom"), ("I work as a nurse.", "nurse")),
    )
    return [tell(checkpoint, script, directory / str(n), lambda: None) for n, script in enumerate(scripts)]
