"""Every option of ``varda-chat``, by the real command in a process of its own or by click's runner."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tests.helpers.commands import HEAVY
from tests.helpers.paths import ROOT
from varda_chat import __version__
from varda_chat.cli.main import main
from varda_chat.memory import MemoryStore
from varda_chat.memory.maintenance import peek


def run(*arguments: str, checkpoint: Path | None = None, stdin: str | bytes | None = None) -> Result:
    extra = ["--checkpoint", str(checkpoint), "--temperature", "0", "--max-new-tokens", "8"] if checkpoint else []
    return CliRunner().invoke(main, [*arguments, *extra], input=stdin)


def profile(home: Path, name: str = "default") -> Path:
    return home / "profiles" / name


def test_prompt_answers_on_stdout(tiny_checkpoint: Path, own_data_directory: Path) -> None:
    result = run("-p", "My dog is called Rimba.", checkpoint=tiny_checkpoint)
    assert result.exit_code == 0
    assert len(result.stdout.strip().splitlines()) <= 1
    assert peek(profile(own_data_directory)).vectors > 0


def test_json_is_one_object_with_the_keys_of_the_design(tiny_checkpoint: Path) -> None:
    result = run("--prompt", "My dog is called Rimba.", "--json", checkpoint=tiny_checkpoint)
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)) == {
        "prompt", "reply", "recalled", "stored", "deleted", "memory_size", "prompt_tokens", "reply_tokens", "seconds",
    }  # fmt: skip


def test_each_line_of_a_pipe_is_a_turn(tiny_checkpoint: Path) -> None:
    result = run("--json", checkpoint=tiny_checkpoint, stdin="Hello!\n\n  \nMy dog is called Rimba.\n")
    prompts = [json.loads(line)["prompt"] for line in result.stdout.splitlines()]
    assert prompts == ["Hello!", "My dog is called Rimba."]


def test_broken_utf8_and_control_codes_on_the_pipe_are_survived(tiny_checkpoint: Path) -> None:
    result = run("--json", checkpoint=tiny_checkpoint, stdin=b"caf\xff \x1b[2J hello\n")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert json.loads(result.stdout)["prompt"].endswith("hello")


def test_profiles_and_data_dir_are_separate_memories(
    tiny_checkpoint: Path, own_data_directory: Path, tmp_path: Path
) -> None:
    run("-p", "I live in Lisbon.", "--profile", "work", checkpoint=tiny_checkpoint)
    run("-p", "I live in Lisbon.", "--data-dir", str(tmp_path / "else"), checkpoint=tiny_checkpoint)
    assert peek(profile(own_data_directory, "work")).vectors > 0
    assert peek(profile(tmp_path / "else")).vectors > 0
    assert peek(profile(own_data_directory)).vectors == 0


def test_incognito_leaves_no_trace(tiny_checkpoint: Path, own_data_directory: Path) -> None:
    result = run("-p", "I live in Lisbon.", "--incognito", "--json", checkpoint=tiny_checkpoint)
    assert json.loads(result.stdout)["stored"] == []
    assert peek(profile(own_data_directory)).vectors == 0


def test_sampling_flags_reach_the_model(tiny_checkpoint: Path) -> None:
    arguments = ["-p", "Hello!", "--json", "--incognito", "--checkpoint", str(tiny_checkpoint), "--temperature", "1.5",
                 "--top-p", "0.95", "--max-new-tokens", "5", "--seed", "3"]  # fmt: skip
    first, second = (json.loads(CliRunner().invoke(main, arguments).stdout) for _ in range(2))
    assert first["reply"] == second["reply"]
    assert first["reply_tokens"] <= 5


def test_reset_asks_backs_up_and_clears(tiny_checkpoint: Path, own_data_directory: Path) -> None:
    run("-p", "My dog is called Rimba.", checkpoint=tiny_checkpoint)
    directory = profile(own_data_directory)
    held = peek(directory).vectors
    refused = run("--reset-memory", stdin="n\n")
    assert refused.exit_code == 0
    assert str(directory) in refused.stdout
    assert str(held) in refused.stdout
    assert peek(directory).vectors == held
    done = run("--reset-memory", "--yes")
    assert done.exit_code == 0
    assert peek(directory).vectors == 0
    backup = Path(done.stdout.split("A backup is in ")[1].strip().replace("\n", ""))
    assert backup.is_file()
    assert "empty already" in run("--reset-memory", "--yes").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--temperature", "-1", "-p", "x"], 2, "temperature"),
        (["--top-p", "0", "-p", "x"], 2, "top-p"),
        (["--max-new-tokens", "0", "-p", "x"], 2, "max-new-tokens"),
        (["--seed", "abc", "-p", "x"], 2, "seed"),
        (["--no-such-flag"], 2, "no-such-flag"),
        (["--yes", "-p", "x"], 2, "--reset-memory"),
        (["--incognito", "--reset-memory", "--yes"], 2, "--incognito (--read-only) does not go with --reset-memory"),
        (["--profile", "../up", "-p", "x"], 1, "profile name"),
        (["--profile", "", "-p", "x"], 1, "profile name"),
        (["-p", ""], 1, "empty"),
        (["-p", "x", "--checkpoint", "/no/such/directory"], 1, "no checkpoint folder"),
        (["-p", "x", "--wait", "nan"], 2, "wait"),
        (["-p", "x", "--temperature", "nan"], 2, "temperature"),
        (["--data-dir", "~nosuchuser/a", "-p", "x"], 1, "~nosuchuser/a cannot be used"),
        (["models", "path", "~nosuchuser/a"], 1, "~nosuchuser/a cannot be used"),
    ],
)
def test_bad_input_gets_one_clear_line(arguments: list[str], code: int, word: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert word in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "varda_chat", *arguments]
    return subprocess.run(
        line, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


def test_help_and_version_and_reset_import_nothing_heavy() -> None:
    probe = (
        "import sys; from click.testing import CliRunner; from varda_chat.cli.main import main; "
        "results = [CliRunner().invoke(main, a) for a in (['--help'], ['--version'], ['--reset-memory', '--yes'])]; "
        "assert all(r.exit_code == 0 for r in results), results; "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_is_told_how_to_complete(shell: str) -> None:
    guide = (ROOT / "docs" / "guide.md").read_text("utf-8")
    assert f"_VARDA_CHAT_COMPLETE={shell}_source varda-chat" in guide
    done = command(_VARDA_CHAT_COMPLETE=f"{shell}_source")
    assert done.returncode == 0, done.stderr
    assert f"_VARDA_CHAT_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("varda-chat mem", ["memory"]),
        ("varda-chat memory ex", ["export"]),
        ("varda-chat --incog", ["--incognito"]),
        ("varda-chat --profile wo", ["work"]),
        ("varda-chat memory list --profile wo", ["work"]),
    ],
)
def test_what_the_shell_completes(typed: str, completed: list[str], own_data_directory: Path) -> None:
    profile(own_data_directory, "work").mkdir(parents=True)
    words = str(len(typed.split()) - 1)
    done = command(_VARDA_CHAT_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=words)
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == completed, done.stderr


def test_version() -> None:
    assert __version__ in command("--version").stdout


def test_help_names_every_option() -> None:
    text = command("--help").stdout
    for option in main.params:
        assert max(option.opts, key=len) in text


def test_a_reader_that_leaves_early_is_no_crash(tiny_checkpoint: Path) -> None:
    line = [sys.executable, "-m", "varda_chat", "--checkpoint", str(tiny_checkpoint), "--max-new-tokens", "4"]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write("Hello!\n")
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write("Hello!\n" * 3)
        process.stdin.close()
    assert process.wait(timeout=120) == 1
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_reset_also_clears_deleted_words_and_what_was_typed(tiny_checkpoint: Path, own_data_directory: Path) -> None:
    run("-p", "My PIN is 1234.", checkpoint=tiny_checkpoint)
    directory = profile(own_data_directory)
    with MemoryStore.open_records(directory) as store:
        store.forget_randomly(1.0)
    assert peek(directory).statements == 0
    (directory / "history.jsonl").write_text('{"text": "My PIN is 1234."}\n')
    assert run("--reset-memory", "--yes").exit_code == 0
    left = [path for path in directory.iterdir() if path.is_file() and not path.name.startswith("sessions.db")]
    assert not any(b"1234" in path.read_bytes() for path in left)  # sessions are kept, as the command says
    assert run("--reset-memory", "--purge", "--yes").exit_code == 0
    assert not any(b"1234" in path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_reset_sets_a_damaged_memory_aside(own_data_directory: Path) -> None:
    directory = profile(own_data_directory)
    directory.mkdir(parents=True)
    (directory / "memory.db").write_bytes(b"this was a database once " * 100)
    done = run("--reset-memory", "--yes")
    assert done.exit_code == 0
    assert "damaged" in done.stdout
    assert not (directory / "memory.db").exists()
    assert any(b"once" in path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_interrupted_question_exits_130(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("-p", "I live in Lisbon.", checkpoint=tiny_checkpoint)
    assert run("--reset-memory", stdin="").exit_code == 2, "nobody can be asked at the end of stdin"
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    monkeypatch.setattr("varda_chat.tui.terminals.can_draw", lambda: False)
    assert run("--reset-memory", stdin="").exit_code == 130


def test_theme_reaches_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    from varda_chat.cli import main as cli
    from varda_chat.tui.app import VardaApp

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    themes: list[str] = []
    monkeypatch.setattr(VardaApp, "run", lambda app: themes.append(app.theme))
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.__stderr__", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    for arguments, code in ((["--theme", "varda-light"], 0), (["--theme", "no-such-theme"], 1), (["--json"], 2)):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == code
    assert themes == ["varda-light"]


def test_output_is_utf8_whatever_the_locale(tiny_checkpoint: Path) -> None:
    said = "caf\u00e9 \u4f60\u597d"
    line = [sys.executable, "-m", "varda_chat", "-p", said, "--json", "--checkpoint", str(tiny_checkpoint)]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(line, capture_output=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode("utf-8"))["prompt"] == said


def test_the_help_has_each_commands_own_line_and_loads_none_of_them() -> None:
    code = (
        "import sys; from varda_chat.cli.main import main\n"
        "main(['--help'], standalone_mode=False, terminal_width=80)\n"
        "print([m for m in sys.modules if m.startswith(('varda_chat.', 'json', 'tomllib', 'sqlite3'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert re.search(rf"^  {name} +{re.escape(command.get_short_help_str(64))}$", done.stdout, re.MULTILINE)
    loaded = done.stdout.splitlines()[-1]
    for module in ("varda_chat.cli.memory", "varda_chat.text", "varda_chat.config.settings", "json", "sqlite3"):
        assert repr(module) not in loaded
