"""A memory of a few statements in the place where a person has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.memory_commands import SAID
from tests.helpers.stores import opened, told, turn


@pytest.fixture
def directory(own_data_directory: Path) -> Path:
    """A memory of three statements: The dog is Rex. / Tea at five. / the secret."""
    place = own_data_directory / "profiles" / "default"
    with opened(place) as store:
        store.apply(turn(told("The dog is Rex."), told("Tea at five.")), session="s")
        store.apply(turn(told(SAID)), session="s")
    return place
