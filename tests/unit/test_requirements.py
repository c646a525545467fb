"""The oldest transformers that is promised is the one that the tests run with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent.parent


def test_the_floor_of_transformers_is_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = next(r for r in map(Requirement, project["dependencies"]) if r.name == "transformers")
    floor = next(Version(each.version) for each in asked.specifier if each.operator == ">=")
    pinned = re.search(r"^transformers==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert pinned is not None
    assert Version(pinned[1]).release[:2] == floor.release[:2]
