"""The commands that an error names reach the environment that the program runs in."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from varda_chat.config import installer
from varda_chat.config.installer import install_command


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that nothing is known of."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "some environment"))
    monkeypatch.setattr(installer, "PACKAGE", "a-package-that-is-not-there")
    (tmp_path / "some environment").mkdir()
    return tmp_path / "some environment"


def test_an_environment_of_pip_is_reached_by_pip(prefix: Path) -> None:
    assert install_command("gguf", "psutil", no_deps=True) == "pip install --no-deps gguf psutil"


def test_what_a_shell_would_read_is_quoted(prefix: Path) -> None:
    assert install_command("varda-chat[mcp]") == "pip install 'varda-chat[mcp]'"


def test_an_environment_of_pipx_is_reached_by_pipx(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (prefix / "pipx_metadata.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(installer, "PACKAGE", "varda-chat")
    assert install_command("gguf", no_deps=True) == "pipx runpip varda-chat install --no-deps gguf"


def test_an_environment_of_uv_is_named_to_uv(prefix: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "site" / "made_by_uv-1.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: made-by-uv\nVersion: 1.0\n", encoding="utf-8")
    (place / "INSTALLER").write_text("uv\n", encoding="utf-8")
    monkeypatch.syspath_prepend(place.parent)
    monkeypatch.setattr(installer, "PACKAGE", "made-by-uv")
    assert install_command("gguf") == f"uv pip install --python '{prefix}' gguf"


def test_pip_records_itself_where_it_installs() -> None:
    """What the choice rests on."""
    assert (distribution("pytest").read_text("INSTALLER") or "").strip() in ("pip", "uv")


def test_the_module_loads_no_library() -> None:
    code = "import sys, varda_chat.config.installer; print('torch' in sys.modules, 'click' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
