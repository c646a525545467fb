"""``varda-chat api`` as a process of its own, and the program ``llm`` as its front end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.helpers.terminal import hear_signals
from varda_chat.cli.main import main
from varda_chat.errors import VardaError
from varda_chat.session.request import Request


@contextmanager
def serving(*flags: str, environment: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """The command in a process of its own; gives what it says once it listens. Ctrl+C ends it."""
    command = [sys.executable, "-m", "varda_chat", "--temperature", "0", "api", "--port", "0", "--json", *flags]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | (environment or {}),
        preexec_fn=hear_signals,
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 130


def test_llm_talks_to_it_and_the_memory_lasts(tmp_path: Path, tiny_checkpoint: Path) -> None:
    pytest.importorskip("llm", reason="needs the extra dev")
    flags = ["--checkpoint", str(tiny_checkpoint), "--data-dir", str(tmp_path / "data"), "--profile", "work"]
    user = tmp_path / "llm"
    user.mkdir()
    with serving(*flags) as told:
        assert len(told["api_key"]) > 20
        (user / "extra-openai-models.yaml").write_text(
            f"- model_id: varda\n  model_name: varda-chat\n  api_base: {told['base_url']}\n  api_key_name: varda\n"
        )
        (user / "keys.json").write_text(json.dumps({"varda": told["api_key"]}))

        def llm(*words: str) -> str:
            run = subprocess.run(
                [sys.executable, "-m", "llm", *words],
                env=os.environ | {"LLM_USER_PATH": str(user), "LLM_LOAD_PLUGINS": ""},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert run.returncode == 0, run.stderr
            return run.stdout

        assert llm("-m", "varda", "My dog is called Rimba.").strip()
        assert llm("-m", "varda", "-c", "What is my dog called?").strip()
        assert llm("-m", "varda", "--no-stream", "Hello!").strip()
    shown = CliRunner().invoke(
        main, ["memory", "list", "--json", "--data-dir", str(tmp_path / "data"), "--profile", "work"]
    )
    assert shown.exit_code == 0, "the memory was let go of"
    sessions = CliRunner().invoke(
        main, ["sessions", "list", "--json", "--data-dir", str(tmp_path / "data"), "--profile", "work"]
    )
    assert [json.loads(line)["turns"] for line in sessions.stdout.splitlines()] == [1, 2], "the newest first"


def test_a_given_token_is_not_printed(tmp_path: Path, tiny_checkpoint: Path) -> None:
    given = {"VARDA_CHAT_TOKEN": "mine"}
    with serving("--checkpoint", str(tiny_checkpoint), environment=given) as told:
        assert set(told) == {"base_url"}


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--prompt", "Hi", "api"], "--prompt does not go with api", 2),
        (["--continue", "api"], "--continue does not go with api", 2),
        (["--reset-memory", "api"], "--reset-memory does not go with api", 2),
        (["api", "--profile", "../x"], "not a profile name", 1),
        (["api", "--token-file", "/dev/null"], "must hold one line", 1),
        (["api", "--port", "65536"], "is not in the range", 2),
    ],
)
def test_what_it_would_not_begin_with_is_refused_first(arguments: list[str], says: str, code: int) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code
    assert says in result.stderr


@pytest.mark.parametrize("way", ["flag", "setting"])
def test_a_persona_before_the_command_counts(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def enough(request: Request, **_: Any) -> None:
        asked.append(request)
        raise VardaError("That is enough.")

    monkeypatch.setattr(Request, "open", enough)
    file = tmp_path / "config.toml"
    file.write_text('system = "Be brief."\n')
    before = ["--system", "Be brief."] if way == "flag" else ["--config", str(file)]
    result = CliRunner().invoke(main, [*before, "--seed", "3", "api", "--port", "0", "--profile", "work"])
    assert result.stderr == "Error: That is enough.\n"
    (request,) = asked
    assert (request.persona, request.generation.seed, request.profile) == ("Be brief.", 3, "work")


def test_a_port_in_use_gets_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(main, ["api", "--port", port])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: Port {port} of 127.0.0.1 cannot be used: ")
    assert len(result.stderr.splitlines()) == 1


def test_without_the_extra_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(main, ["api"])
    assert result.exit_code == 1
    assert result.stderr == "Error: The endpoint needs two more packages: pip install 'varda-chat[api]'.\n"
