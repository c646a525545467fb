"""Converted bases in the cache: built once, rebuilt where damaged, whole after a kill."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.paths import ROOT
from varda_chat.errors import CheckpointError, StorageError
from varda_chat.models import model_cache
from varda_chat.models.bases import Base, find_base, resolve_base
from varda_chat.models.model_cache import MANIFEST, cached, directories, entries, verify


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that knows the package's base, given its place, as ``base``."""
    prelude = """
import sys, time
from pathlib import Path
from varda_chat.models.bases import Base, resolve_base
sys.path.insert(0, sys.argv[1])
base = Base(*sys.argv[2:7])
def say(line):
    print(line, flush=True)
"""
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def as_arguments(base: Base, place: Path) -> list[object]:
    return [place, base.name, base.revision, base.sha256, base.package, base.gguf_file]


def test_it_is_converted_once(packaged: Base, uninstall: Callable[[], None]) -> None:
    directory = resolve_base(packaged)
    verify(directory)
    steps: list[str] = []
    uninstall()
    assert resolve_base(packaged, on_progress=steps.append) == directory
    assert steps == []


def damage(path: Path) -> None:
    """Change one byte, and no size."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "missing", "manifest"])
def test_a_damaged_entry_is_rebuilt_and_that_is_said(packaged: Base, how: str) -> None:
    directory = resolve_base(packaged)
    weights = directory / "model.safetensors"
    whole = weights.read_bytes()
    if how == "cut":
        weights.write_bytes(whole[:-1])
    elif how == "missing":
        weights.unlink()
    else:
        (directory / MANIFEST).write_text("{")
    steps: list[str] = []
    assert resolve_base(packaged, on_progress=steps.append) == directory
    assert steps[0].startswith("Rebuilding the cached copy of tiny.")
    assert weights.read_bytes() == whole
    damage(weights)
    with pytest.raises(CheckpointError, match="is damaged"):
        verify(directory)


def test_a_kill_in_the_middle_leaves_nothing_or_a_whole_entry(packaged: Base, tmp_path: Path) -> None:
    code = """
def build(directory):
    (directory / "model.safetensors").write_bytes(b"half")
    say("half")
    time.sleep(100)
from varda_chat.models.bases import cached_base_dir
from varda_chat.models.model_cache import cached
cached(cached_base_dir(base), build, kind="base", name="tiny", sources={})
"""
    process = child(code, *as_arguments(packaged, tmp_path / "site"))
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert entries() == []
    assert len(directories()) == 1
    directory = resolve_base(packaged)
    verify(directory)
    assert directory.stat().st_mode & 0o077 == 0
    left = [each.name for each in model_cache.models_dir().iterdir() if each.is_dir()]
    assert left == [directories()[0].name]


def test_a_kill_while_converting(packaged: Base, tmp_path: Path) -> None:
    process = child("resolve_base(base, None, lambda step: (say(step), time.sleep('Writing' in step and 100)))",
                    *as_arguments(packaged, tmp_path / "site"))  # fmt: skip
    assert process.stdout is not None
    while "Writing" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert find_base(packaged) is not None
    verify(resolve_base(packaged))


def test_two_processes_convert_once(packaged: Base, tmp_path: Path) -> None:
    code = "say(str(resolve_base(base, None, lambda step: (say(step), time.sleep(2 * ('Conv' in step))))))"
    both = [child(code, *as_arguments(packaged, tmp_path / "site")) for _ in range(2)]
    said = []
    for process in both:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        said.append(out.splitlines())
    assert said[0][-1] == said[1][-1]
    assert sum(line.startswith("Converting") for lines in said for line in lines) == 1
    verify(Path(said[0][-1]))


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """On a file system of 1 MB, where one can be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        weights = {"a": torch.zeros(1_000_000)}
        ways = (lambda path: save_file(weights, path), lambda path: path.write_bytes(bytes(4_000_000)))
        for write in ways:
            with pytest.raises(StorageError, match=r"could not be written: .*No space left"):
                cached(
                    place / "models" / "base-x",
                    lambda directory, write=write: write(directory / "model.safetensors"),  # type: ignore[misc]
                    kind="base",
                    name="x",
                    sources={},
                )
            assert [each for each in (place / "models").iterdir() if each.is_dir()] == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_refused_directory_is_one_clear_error(packaged: Base, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        resolve_base(packaged, cache=tmp_path / "file")


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def build(directory: Path) -> None:
        (directory / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path / "models" / "base-x", build, kind="base", name="x", sources={})
    assert [each.name for each in (tmp_path / "models").iterdir()] == [".base-x.lock"]


def test_the_directory_s_name_is_plain() -> None:
    assert model_cache.directory_name("base", "someone/../x y", "a" * 64) == f"base-someone----x-y-{'a' * 16}"
    assert model_cache.directory_name("merged", "..", "b", "c") == "merged-model-b-c"
