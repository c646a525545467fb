"""The guide and the code agree: its tables, its pictures, its commands and its settings."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.helpers.paths import ROOT
from tests.helpers.scripts import load
from varda_chat.cli.main import main
from varda_chat.config import settings
from varda_chat.tui import bindings

DOCS = ROOT / "docs"
GUIDE = (DOCS / "guide.md").read_text("utf-8")
LARGEST_PICTURE = 150_000


def test_the_tables_are_those_of_the_code() -> None:
    assert load(DOCS / "tables.py").written(GUIDE) == GUIDE, "run .venv/bin/python docs/tables.py"


def test_the_pictures_are_there_small_and_made_by_the_script() -> None:
    shown = set(re.findall(r"\(images/(\w+)\.svg\)", GUIDE))
    assert shown == set(load(DOCS / "images" / "make.py").SHOWN)
    for name in shown:
        picture = (DOCS / "images" / f"{name}.svg").read_text("utf-8")
        assert len(picture.encode()) < LARGEST_PICTURE
        assert "/tmp/" not in picture


@pytest.mark.parametrize("line", re.findall(r"^varda-chat.*$", GUIDE, re.MULTILINE))
def test_a_command_of_the_guide_can_be_given(line: str) -> None:
    words = re.split(r"\s{2,}", line)[0].split()[1:]
    known = {option for each in main.params if isinstance(each, click.Option) for option in each.opts}
    if words[:1] == ["serve"]:
        serve = main.get_command(click.Context(main), "serve")
        assert serve is not None
        known |= {option for each in serve.params if isinstance(each, click.Option) for option in each.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_settings_of_the_guide_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    found = re.search(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    file.write_text(found[1], "utf-8")
    bindings.check(settings.read(file).settings.keys)
