"""What only POSIX has is not needed to import the program, nor to chat on a pipe. (By inspection, so on Windows.)"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = """
import builtins, errno, fcntl, os, pkgutil, signal, sys

MODULES = {"fcntl", "pty", "resource", "termios", "tty", "grp", "pwd", "posix", "syslog", "readline", "curses"}
OF_OS = ["O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "O_SYNC", "fchmod", "fchown", "chown", "fork",
         "getuid", "geteuid", "getgid", "getegid", "killpg", "getpgid", "setsid", "mkfifo", "openpty", "umask",
         "statvfs"]
OF_SIGNAL = ["SIGHUP", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGALRM", "SIGTSTP", "SIGCONT"]
real = builtins.__import__

def guarded(name, globals=None, locals=None, fromlist=(), level=0):
    asking = (globals or {}).get("__name__", "")
    if asking.partition(".")[0] == "varda_chat":
        if name.partition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, globals, locals, fromlist, level)

class Lacking:
    # The module as Windows has it, for our own modules; the libraries have their own ways there.
    def __init__(self, module, names, **others):
        self.__dict__.update(others, module=module, names=set(names))
    def __getattr__(self, name):
        if name in self.names:
            raise AttributeError(f"module {self.module.__name__!r} has no attribute {name!r}")
        return getattr(self.module, name)

def open_no_directory(path, *arguments, **others):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)
    return os.open(path, *arguments, **others)

def sync_what_is_written(handle):
    if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    os.fsync(handle)

windows_os = Lacking(os, OF_OS, open=open_no_directory, fsync=sync_what_is_written)
lacking = {"os": windows_os, "signal": Lacking(signal, OF_SIGNAL)}
del os.O_NOFOLLOW

def windows(name, globals=None, locals=None, fromlist=(), level=0):
    found = guarded(name, globals, locals, fromlist, level)
    asking = (globals or {}).get("__name__", "")
    ours = asking.partition(".")[0] == "varda_chat"
    return lacking.get(name, found) if ours and not level else found

builtins.__import__ = windows
"""
IMPORT_ALL = """
import varda_chat, importlib
# Textual chooses the driver of the terminal itself where there is no termios
ONLY_POSIX = {"varda_chat.tui.driver"}
for each in pkgutil.walk_packages(varda_chat.__path__, "varda_chat."):
    if each.name not in ONLY_POSIX and not each.name.endswith("__main__"):
        importlib.import_module(each.name)
        print(each.name)
assert ONLY_POSIX.isdisjoint(sys.modules)
"""
CHAT = """
from varda_chat.cli.main import main
main()
"""


def without_posix(code: str, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code, *arguments],
        input=said,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_every_module_can_be_imported() -> None:
    for name in ("textual_serve", "mcp", "starlette", "uvicorn"):
        pytest.importorskip(name, reason="needs the extra dev")
    done = without_posix(IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 150


def test_the_chat_answers_and_remembers(tiny_checkpoint: Path, own_data_directory: Path) -> None:
    flags = ["--json", "--temperature", "0", "--checkpoint", str(tiny_checkpoint)]
    done = without_posix(CHAT, *flags, said="My dog is called Rimba.\nWhat is my dog called?\n")
    assert done.returncode == 0, done.stderr
    first, _ = map(json.loads, done.stdout.splitlines())
    assert first["stored"][0]["text"] == "My dog is called Rimba."
    listed = without_posix(CHAT, "memory", "verify")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    backed = without_posix(CHAT, "memory", "backup")
    assert backed.returncode == 0, backed.stderr


def test_a_model_is_cached_checked_and_removed(own_data_directory: Path) -> None:
    code = """
from pathlib import Path
from varda_chat.models import model_cache
directory = model_cache.models_dir() / model_cache.directory_name("base", "tiny", "0123456789abcdef")
def build(place):
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(bytes(range(256)))
def cached():
    return model_cache.cached(directory, build, kind="base", name="tiny", sources={}, on_progress=print)
cached()
model_cache.verify(directory)
(directory / "config.json").unlink()
model_cache.verify(cached())
model_cache.remove(directory)
print(sorted(each.name for each in directory.parent.iterdir() if not each.name.endswith(".lock")))
"""
    done = without_posix(code)
    assert done.returncode == 0, done.stderr
    rebuilt, left = done.stdout.splitlines()
    assert "Rebuilding" in rebuilt
    assert left == "[]"


def test_a_link_is_refused_without_the_flag_for_it_too(own_data_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    code = f"""
from pathlib import Path
from varda_chat.storage.regular import NotRegularError, open_regular
open_regular(Path({str(tmp_path / "elsewhere")!r}), follow_links=False)
try:
    open_regular(Path({str(tmp_path / "link")!r}), follow_links=False)
except NotRegularError as error:
    print(error)
"""
    assert "is a link" in without_posix(code).stdout
