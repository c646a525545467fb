"""The wheel and the sdist: built, installed into a fresh environment, and used there by what they install."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.corpora import corpora
from tests.helpers.paths import ROOT

__all__ = ["corpora"]

NOT_LINKED = ("varda_chat", "training", "_editable", "__editable__", "accelerate", "openai", "llm")
"""What the fresh environment has not, by the beginnings of names: ourselves, and what only extras need."""


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path
    source: Path


def run(
    command: Sequence[object], *, said: str = "", cwd: Path | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command without what the tests' own environment would lend it."""
    lent = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in lent}
    done = subprocess.run(
        list(map(str, command)),
        input=said,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=1800,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def build(source: Path, target: Path, *formats: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "--directory",
            str(target),
            *(f"--target={each}" for each in formats),
        ],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel, built from the sdist as pip would build it, the sdist, and what is in it."""
    pytest.importorskip("hatchling", reason="needs the extra dev")
    target = tmp_path_factory.mktemp("built")
    build(ROOT, target, "sdist")
    (sdist,) = target.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(target / "source", filter="data")
    (source,) = (target / "source").iterdir()
    build(source, target, "wheel")
    (wheel,) = target.glob("*.whl")
    return Built(wheel, sdist, source)


def in_environment(directory: Path, name: str) -> Path:
    """A program of the environment in ``directory``."""
    return directory / ("Scripts" if os.name == "nt" else "bin") / name


@pytest.fixture(scope="module")
def fresh(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and links to the libraries of this one."""
    directory = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(directory, with_pip=False, symlinks=os.name != "nt")
    python = in_environment(directory, "python")
    install = ["--python", python, "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", *install, built.wheel])
    libraries = directory / "libraries"
    libraries.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith(NOT_LINKED) and each.suffix != ".pth":
            (libraries / each.name).symlink_to(each)
    where = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).stdout.strip()
    (Path(where) / "libraries.pth").write_text(f"{libraries}\n")
    return directory


def test_the_sdist_has_all_that_the_tests_need(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "Makefile", "constraints.txt", "docs/quickstart.md"):
        assert name in names
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")} <= names
    assert not any(name.startswith((".venv", "runs", ".git/")) for name in names)


def test_the_wheel_has_the_models_and_nothing_of_the_tests(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = archive.namelist()
    assert "varda_chat/checkpoints/mini/model.safetensors" in names
    assert "varda_chat/web/page.html" in names
    assert any(name.endswith("/share/man/man1/varda-chat.1") for name in names)
    assert not any(name.startswith(("tests/", "docs/")) for name in names)


def test_it_chats_and_remembers_where_it_is_installed(fresh: Path, tmp_path: Path) -> None:
    chat = in_environment(fresh, "varda-chat")
    assert run([chat, "--version"]).stdout.startswith("varda-chat, version ")
    told = run([chat, "--json", "--temperature", "0"], said="My dog is called Rimba.\n", cwd=tmp_path)
    assert json.loads(told.stdout)["stored"][0]["text"] == "My dog is called Rimba."
    asked = run([chat, "--temperature", "0", "-p", "What is my dog called?"], cwd=tmp_path)
    assert "Rimba" in asked.stdout
    python = in_environment(fresh, "python")
    where = run([python, "-c", "import varda_chat; print(varda_chat.__file__)"], cwd=tmp_path).stdout
    assert where.startswith(str(fresh))
    assert (fresh / "share" / "man" / "man1" / "varda-chat.1").is_file()


def trained_nano_chats(environment: Path, corpora: Path, directory: Path) -> None:
    """The programs of ``environment`` train a nano, and chat with it."""
    flags = ["--preset", "nano", "--data-dir", corpora, "--output-dir", directory / "nano", "--max-steps", "2"]
    small = ["--fact-episodes", "1", "--dialogue-rows", "1", "--recall-facts", "1"]
    run([in_environment(environment, "varda-train"), *flags, *small], cwd=directory)
    assert (directory / "nano" / "README.md").is_file()
    run([in_environment(environment, "varda-chat"), "--checkpoint", directory / "nano", "-p", "Hello!"], cwd=directory)


def test_training_names_its_extra_where_that_is_missing(fresh: Path, corpora: Path, tmp_path: Path) -> None:
    flags = ["--preset", "nano", "--data-dir", corpora, "--output-dir", tmp_path / "nano", "--max-steps", "2"]
    done = run([in_environment(fresh, "varda-train"), *flags], cwd=tmp_path, code=1)
    assert done.stderr.splitlines()[-1] == "Error: Training needs one more package: pip install 'varda-chat[train]'."


def test_it_trains_and_chats_where_the_extra_is_installed(fresh: Path, corpora: Path, tmp_path: Path) -> None:
    extra = [each for each in Path(sysconfig.get_path("purelib")).iterdir() if each.name.startswith("accelerate")]
    linked = [fresh / "libraries" / each.name for each in extra]
    for link, each in zip(linked, extra, strict=True):
        link.symlink_to(each)
    try:
        trained_nano_chats(fresh, corpora, tmp_path)
    finally:
        for link in linked:
            link.unlink()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("tool", ["pipx", "uv", "uvx"])
def test_tools_for_programs_install_and_run_it(
    tool: str, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the commands of the quick start, and by uvx from the wheel; with every library from the registry."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    for name in ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR", "UV_CACHE_DIR", "UV_TOOL_DIR", "UV_TOOL_BIN_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("PIP_CONSTRAINT", "UV_CONSTRAINT"):
        monkeypatch.setenv(name, str(ROOT / "constraints.txt"))
    chat: list[object] = ["uvx", "--from", built.wheel, "varda-chat"]
    if tool != "uvx":
        named = re.search(
            rf"{tool} (?:tool )?install '\.\[base\]'", (ROOT / "docs" / "quickstart.md").read_text("utf-8")
        )
        assert named is not None
        run(shlex.split(named[0]), cwd=built.source)
        chat = [tmp_path / ("PIPX_BIN_DIR" if tool == "pipx" else "UV_TOOL_BIN_DIR") / "varda-chat"]
    if tool == "pipx":
        assert (tmp_path / "PIPX_MAN_DIR" / "man1" / "varda-chat.1").exists()
    told = run([*chat, "--json", "--temperature", "0"], said="My dog is called Rimba.\n", cwd=tmp_path)
    assert json.loads(told.stdout)["stored"][0]["text"] == "My dog is called Rimba."
    assert "Rimba" in run([*chat, "--temperature", "0", "-p", "What is my dog called?"], cwd=tmp_path).stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_make_chat_alone_opens_the_default_model(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an environment that nothing but ``make chat`` has made, with nothing in the cache."""
    monkeypatch.delenv("VARDA_CHAT_MODEL", raising=False)
    for name in ("HOME", "XDG_CACHE_HOME", "VARDA_CHAT_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    source = tmp_path / "source"
    shutil.copytree(built.source, source)
    told = run(["make", "chat", "ARGS=--json --temperature 0"], said="My dog is called Rimba.\n", cwd=source)
    assert "Using the small model" not in told.stderr
    assert json.loads(told.stdout)["stored"][0]["text"] == "My dog is called Rimba."
    asked = run(["make", "chat", "ARGS=--temperature 0"], said="What is my dog called?\n", cwd=source)
    assert "Rimba" in asked.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_whole_install_chats_and_trains(built: Built, corpora: Path, tmp_path: Path) -> None:
    """As a user installs it, with every library from the registry."""
    directory = tmp_path / "env"
    venv.create(directory, with_pip=True)
    python = in_environment(directory, "python")
    install = ["install", "--quiet", "--disable-pip-version-check", "--constraint", ROOT / "constraints.txt"]
    run([python, "-m", "pip", *install, f"varda-chat[train] @ {built.wheel.as_uri()}"])
    told = run([in_environment(directory, "varda-chat"), "--json"], said="My dog is called Rimba.\n", cwd=tmp_path)
    assert json.loads(told.stdout)["stored"]
    trained_nano_chats(directory, corpora, tmp_path)
