"""The settings file: what it may hold, which of file, variable and flag wins, and how it is written."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from varda_chat.cli.main import main
from varda_chat.config import paths
from varda_chat.config.defaults import DRAWN
from varda_chat.config.settings import Settings, drawn_typed, parsed, read, save
from varda_chat.errors import StorageError, VardaError
from varda_chat.memory import MemoryStore

WRITTEN = """\
# mine
temperature = 0.25  # calm
profile = "work"

[keys]  # by hand
panel = "f2"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "dots" / "config.toml"


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def test_what_is_not_there_is_the_default(file: Path) -> None:
    assert read(file).settings == Settings()
    assert read(file).flags == {}
    with pytest.raises(VardaError, match=r"no settings file .*config\.toml"):
        read(file, required=True)


def test_it_is_read(file: Path) -> None:
    found = read(written(file, WRITTEN))
    assert found.settings == Settings(temperature=0.25, profile="work", keys={"panel": "f2"})
    assert found.flags == {"temperature": 0.25, "profile": "work"}
    assert read(written(file, "temperature = 1")).settings.temperature == 1.0


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("colour = 1", "colour", "no setting"),
        ("theme = 1", "theme", "text in quotes"),
        ("temperature = '1'", "temperature", "a number"),
        ("temperature = true", "temperature", "a number"),
        ("temperature = nan", "temperature", "between 0 and 10"),
        (f"temperature = 1{'0' * 400}", "temperature", "a smaller number"),
        ("top_p = 0", "top_p", "above 0"),
        ("max_new_tokens = 1.5", "max_new_tokens", "whole number"),
        ("memory_size = 0", "memory_size", "at least 1"),
        ("panel = 1", "panel", "true or false"),
        ("profile = '../x'", "profile", "not a profile name"),
        ("keys = 1", "keys", "a table"),
        ("[keys]\npanel = 2", "panel", "in quotes"),
        ("theme = ", "", "not proper TOML"),
    ],
)
def test_what_is_wrong_gets_one_line_with_file_and_key(text: str, key: str, says: str, file: Path) -> None:
    written(file, text)
    result = CliRunner().invoke(main, ["--config", str(file), "-p", "Hi"])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    for words in (str(file), key, says):
        assert words in result.stderr
    assert CliRunner().invoke(main, ["--help"]).exit_code == 0


def test_saving_changes_what_was_changed_and_keeps_the_rest(file: Path) -> None:
    before = read(written(file, WRITTEN))
    saved = save(before, replace(before.settings, temperature=0.5, panel=False, keys={"panel": "f2", "help": "f12"}))
    text = file.read_text("utf-8")
    assert "# mine" in text
    assert "temperature = 0.5  # calm" in text
    assert "[keys]  # by hand" in text
    assert read(file) == saved
    assert saved.settings.keys == {"panel": "f2", "help": "f12"}
    save(saved, replace(saved.settings, keys={}))
    assert read(file).settings == replace(saved.settings, keys={})


def test_what_another_wrote_meanwhile_stays(file: Path) -> None:
    before = read(written(file, WRITTEN))
    written(file, WRITTEN.replace('"work"', '"home"'))
    saved = save(before, replace(before.settings, top_p=0.5))
    assert saved.settings == replace(before.settings, profile="home", top_p=0.5)
    assert read(file) == saved


def test_a_new_file_is_private_and_a_link_stays_one(file: Path, tmp_path: Path) -> None:
    save(read(file), Settings(theme="nord", keys={"help": "f12"}))
    assert read(file).settings == Settings(theme="nord", keys={"help": "f12"})
    assert file.stat().st_mode & 0o777 == 0o600
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    save(read(link), Settings(theme="dracula", keys={"help": "f12"}))
    assert link.is_symlink()
    assert read(file).settings.theme == "dracula"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(file: Path) -> None:
    written(file, "")
    file.parent.chmod(0o500)
    with pytest.raises(StorageError, match=r"config\.toml"):
        save(read(file), Settings(theme="nord"))
    file.parent.chmod(0o700)


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VardaError, match="cannot be read: Not a directory"):
        read(tmp_path / "file" / "config.toml")


@pytest.mark.parametrize(
    ("name", "text", "value"), [("temperature", " 1 ", 1.0), ("max_new_tokens", "12", 12), ("checkpoint", " a ", "a")]
)
def test_what_a_person_writes(name: str, text: str, value: object) -> None:
    assert parsed(name, text) == value


@pytest.mark.parametrize(("name", "text"), [("temperature", "warm"), ("max_new_tokens", "1.5"), ("top_p", "2")])
def test_what_a_person_cannot_write(name: str, text: str) -> None:
    with pytest.raises(VardaError):
        parsed(name, text)


@pytest.mark.parametrize(
    ("name", "least", "most", "beyond"),
    [
        ("temperature", "0", "10", ("-0.1", "10.1", "nan", "warm")),
        ("top_p", "0.001", "1", ("0", "1.1")),
        ("max_new_tokens", "1", "1000000", ("0", "1000001", "1.5")),
    ],
)
def test_what_may_be_set_is_what_its_error_says(name: str, least: str, most: str, beyond: tuple[str, ...]) -> None:
    assert f"{drawn_typed(name, least):g}" == least
    assert f"{drawn_typed(name, most):.10g}" == most
    for text in beyond:
        with pytest.raises(VardaError, match=f"^{name} must be a .*number, {DRAWN[name]}, not '{text}'") as raised:
            drawn_typed(name, text)
        assert all(f"{other} ({DRAWN[other]})" in str(raised.value) for other in DRAWN.keys() - {name})


def test_flag_before_variable_before_file_before_default(
    tiny_checkpoint: Path, own_data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def profile(*flags: str) -> str:
        result = CliRunner().invoke(main, [*flags, "memory", "path", "--json"])
        assert result.exit_code == 0, result.output
        return Path(json.loads(result.stdout)["path"]).name

    assert paths.config_file() == own_data_directory / "config.toml"
    assert profile() == "default"
    own_data_directory.mkdir()
    written(own_data_directory / "config.toml", 'profile = "file"')
    assert profile() == "file"
    monkeypatch.setenv("VARDA_CHAT_PROFILE", "variable")
    assert profile() == "variable"
    assert profile("--profile", "flag") == "flag"
    monkeypatch.delenv("VARDA_CHAT_PROFILE")
    monkeypatch.setenv("VARDA_CHAT_CONFIG", str(written(own_data_directory / "other.toml", 'profile = "other"')))
    assert profile() == "other"
    assert profile("--config", str(own_data_directory / "config.toml")) == "file"


def test_the_file_reaches_the_session(tiny_checkpoint: Path, own_data_directory: Path, tmp_path: Path) -> None:
    lines = [f"checkpoint = '{tiny_checkpoint}'", "memory_size = 6", "max_new_tokens = 3", "temperature = 0"]
    file = written(tmp_path / "mine.toml", "\n".join(lines))
    flags = ["--config", str(file), "--json"]
    for prompt in ("My dog is called Rimba.", "I live in Lisbon and I work as a nurse."):
        result = CliRunner().invoke(main, [*flags, "-p", prompt])
        assert result.exit_code == 0, result.output
        answer = json.loads(result.stdout)
        assert answer["reply_tokens"] <= 3
        assert 0 < answer["memory_size"] <= 6
    with MemoryStore.open_records(own_data_directory / "profiles" / "default", read_only=True) as store:
        assert store.size <= 6


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'\xef\xbb\xbftheme = "varda-light"\n')
    assert read(path).settings.theme == "varda-light"
