"""What the project promises to run with is what its tests run with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.helpers.paths import ROOT


def test_the_floor_of_transformers_is_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = next(r for r in map(Requirement, project["dependencies"]) if r.name == "transformers")
    floor = next(Version(each.version) for each in asked.specifier if each.operator == ">=")
    pinned = re.search(r"^transformers==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert pinned is not None
    assert Version(pinned[1]).release[:2] == floor.release[:2]


def matrix(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / ".ci" / "matrix"), *arguments],
        capture_output=True,
        text=True,
        env=dict(os.environ) | environment,
        timeout=100,
        check=False,
    )


@pytest.mark.skipif(shutil.which("bash") is None or not (ROOT / ".ci").is_dir(), reason="needs bash and a checkout")
def test_the_matrix_runs_every_python_that_is_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = matrix("--list").stdout.split()
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert [f"Programming Language :: Python :: {version}" in project["classifiers"] for version in versions] == [
        True
    ] * 4
    assert all(version in SpecifierSet(project["requires-python"]) for version in versions)
    unknown = matrix("3.999")
    assert (unknown.returncode, unknown.stderr) == (1, "python3.999 is not installed.\n")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout")
def test_a_job_of_the_matrix_has_a_clean_copy_and_its_python(tmp_path: Path) -> None:
    this = "{}.{}".format(*sys.version_info)
    (tmp_path / f"python{this}").symlink_to(sys.executable)
    command = "test -f pyproject.toml && ! test -e .git && $PYTHON -c 'import sys; print(sys.version_info[:2])'"
    done = matrix(this, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}", COMMAND=command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"Python {this}", str(tuple(sys.version_info[:2]))]
