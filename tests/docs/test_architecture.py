"""docs/architecture.md, the glossary, and the tables of README and CONTRIBUTING, against the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PAGE = ROOT / "docs" / "architecture.md"


@pytest.mark.parametrize(
    "page",
    [PAGE, PAGE.with_name("glossary.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    ids=lambda page: page.name,
)
def test_every_path_that_is_named_is_there(page: Path) -> None:
    named = set(re.findall(r"`((?:varda_chat|training|tests|docs)/[\w./*-]*)`", page.read_text("utf-8")))
    assert named
    assert not [path for path in sorted(named) if not list(ROOT.glob(path.rstrip("/")))]


def test_every_package_is_named() -> None:
    packages = [
        path.relative_to(ROOT).as_posix()
        for package in ("varda_chat", "training")
        for path in sorted((ROOT / package).iterdir())
        if path.is_dir() and any(path.rglob("*.py")) and path.name != "__pycache__"
    ]
    page = PAGE.read_text("utf-8")
    assert len(packages) > 12
    assert not [package for package in packages if f"`{package}/" not in page]
