"""Whole processes, measured from outside: the help, the first screen, the first token, peak memory, lines on a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from training.benchmarks.ratios import Figure, Row, in_turns, medians
from varda_chat.config.paths import MODEL_VARIABLE
from varda_chat.models.checkpoint import load_checkpoint
from varda_chat.session.lengths import MAX_MESSAGE

HELP = Row("help", "varda-chat --help", 'python -c "import click"', "ms", {"": 1.6}, at_most=True)
PAINT = Row("paint", "process to first paint", "an empty Textual app", "ms", {"": 1.3}, at_most=True)
START = Row("start", "process to first answer token", "importing torch, transformers, and `from_pretrained`", "s",
            {"mini": 1.2, "default": 1.2}, at_most=True, gpu=True)  # fmt: skip
MEMORY = Row("memory", "peak memory, chatting", "torch, transformers and `generate` of the plain base", "MB",
             {"mini": 1.2, "default": 1.2}, at_most=True, gpu=True)  # fmt: skip
PIPE = Row("pipe", "a line of 1 MB on a pipe", "a line of 100 KB", "s", {"mini": 12.0, "default": 12.0}, at_most=True)
LONGEST = Row("pipe-longest", f"the longest line that is read, {MAX_MESSAGE // 1000} KB", "a tenth of it", "s",
              {"mini": 12.0, "default": 12.0}, at_most=True, gpu=True)  # fmt: skip

CHAT = [sys.executable, "-m", "varda_chat"]
TURNS = ("My dog is called Rimba.", "I live in Lisbon.", "What is my dog called?", "What do you like about the sea?")
_EMPTY_APP = "from textual.app import App; App().run()"
_EMPTY_PAINT, _CHAT_PAINT = b"\x1b[48;2;", b"you can already write"
_PATIENCE = 120.0
_STARTER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
_TO_FIRST_PIECE = """
import os, sys
from pathlib import Path
from varda_chat import ChatSession
def first(piece):
    os.write(1, piece.encode())
    os._exit(0)
ChatSession.open(Path(sys.argv[1])).reply("Hi!", on_text=first)
"""
_CHATTING = """
import sys
from pathlib import Path
from varda_chat import ChatSession
with ChatSession.open(Path(sys.argv[1])) as session:
    for line in sys.argv[2:]:
        session.reply(line)
"""
_PLAIN = """
import sys, torch, transformers
model = transformers.{kind}.from_pretrained(sys.argv[1], dtype=torch.{dtype})
"""
_WRITING = """
ids = torch.arange(3, 103).unsqueeze(0)
for turn in range(4):
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False, pad_token_id=0)
"""


def measure_processes(rows: frozenset[str], models: Sequence[str], repeats: int) -> Iterator[Figure]:
    """Those of ``rows`` that are about processes."""
    with tempfile.TemporaryDirectory(prefix="varda-bench-") as place:
        directory = Path(place)
        if HELP.name in rows:
            times = in_turns(lambda: _run(_python("import click")), lambda: _run([*CHAT, "--help"]), 2 * repeats)
            yield _figure(HELP, "", times, 2 * repeats)
        if PAINT.name in rows:
            yield _figure(PAINT, "", medians(_paint_of_empty, lambda: _paint_of_chat(directory), repeats), repeats)
        for model in models:
            yield from _of_model(rows, model, directory / model, repeats)


def _of_model(rows: frozenset[str], model: str, directory: Path, repeats: int) -> Iterator[Figure]:
    environment = {MODEL_VARIABLE: model}
    if {START.name, MEMORY.name} & rows:
        plain = _PLAIN.format(**_write_base(model, directory / "base"))
        base, profile = str(directory / "base"), str(directory / "profile")
    if START.name in rows:
        times = in_turns(
            lambda: _run(_python(plain, base)), lambda: _run(_python(_TO_FIRST_PIECE, profile), environment), repeats
        )
        yield _figure(START, model, times, repeats)
    if MEMORY.name in rows:
        peaks = medians(
            lambda: peak(_python(plain + _WRITING, base)),
            lambda: peak(_python(_CHATTING, profile, *TURNS), environment),
            1,
        )
        yield Figure(MEMORY, model, *peaks, 1)
    for row, sizes in ((PIPE, (100_000, 1_000_000)), (LONGEST, (MAX_MESSAGE // 10, MAX_MESSAGE))):
        if row.name in rows:
            short, long = ((lambda n=size: _pipe(n, directory, environment)) for size in sizes)
            yield _figure(row, model, in_turns(short, long, repeats), repeats)


def _figure(row: Row, model: str, times: tuple[float, float], runs: int) -> Figure:
    scale = 1000 if row.unit == "ms" else 1
    return Figure(row, model, scale * times[0], scale * times[1], runs)


def _write_base(model: str, directory: Path) -> dict[str, str]:
    """Save the plain base of a shipped model, of the same weights, in ``directory``; how it is loaded."""
    from training.benchmarks.speed import plain_base

    plain = plain_base(load_checkpoint(model).model)
    plain.save_pretrained(directory)
    return {"kind": type(plain).__name__, "dtype": str(plain.dtype).removeprefix("torch.")}


def _python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def _run(argv: Sequence[str], environment: Mapping[str, str] | None = None, given: bytes = b"") -> int:
    """Run it to its end; its exit code. Raises RuntimeError where that is none of ours."""
    done = subprocess.run(  # noqa: S603
        argv, input=given, capture_output=True, check=False, env=os.environ | dict(environment or {})
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{argv[:3]} ended with {done.returncode}: {done.stderr[-500:].decode(errors='replace')}")
    return done.returncode


def _pipe(size: int, directory: Path, environment: Mapping[str, str]) -> None:
    """A line of ``size`` bytes to the chat; a line longer than a message may be is refused."""
    line = (b"the sea was calm and we walked along the shore. " * (size // 48 + 1))[: size - 1] + b"\n"
    refused = _run([*CHAT, "--data-dir", str(directory / "pipe"), "--max-new-tokens", "8"], environment, line)
    if refused != (size > MAX_MESSAGE):
        raise RuntimeError(f"a line of {size} bytes was {'refused' if refused else 'read'}")


def peak(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """The most memory (MB) that the process had. Linux counts what its parent had when it was forked, so a small one
    starts it."""
    done = subprocess.run(  # noqa: S603
        _python(_STARTER, *argv), stdout=subprocess.PIPE, env=os.environ | dict(environment or {}), check=True
    )
    return int(done.stdout) / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def _paint_of_empty() -> float:
    return _seconds_to(_EMPTY_PAINT, _python(_EMPTY_APP))


def _paint_of_chat(directory: Path) -> float:
    return _seconds_to(_CHAT_PAINT, [*CHAT, "--data-dir", str(directory / "paint")])


def _seconds_to(sign: bytes, argv: Sequence[str]) -> float:
    """Seconds until the program, in a terminal of 120 columns and 36 rows, has painted ``sign``; it is then killed."""
    import fcntl
    import pty
    import select
    import signal
    import struct
    import termios

    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    started = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        argv, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
    )
    os.close(its)
    seen = b""
    try:
        while sign not in seen:
            left = started + _PATIENCE - time.perf_counter()
            if left < 0 or not select.select([ours], [], [], left)[0]:
                raise TimeoutError(f"{argv[-1]} painted nothing in {_PATIENCE:g} s")
            seen = seen[-65_536:] + os.read(ours, 65_536)
        return time.perf_counter() - started
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(ours)
