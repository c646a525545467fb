"""A program in a pseudo-terminal: what it is sent and when, what it paints and when."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

SIZE = (120, 36)
KEPT_BYTES = 1 << 16
"""So much of what was painted last is kept to be looked at."""
_CHUNK = 1 << 16
_HEARD = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Terminal:
    """Runs ``argv`` in a pseudo-terminal from its making until it is closed. Times are ``time.monotonic()``'s."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], size: tuple[int, int] = SIZE) -> None:
        """``environment`` is added to this process's own. ``size``: columns and rows."""
        master, slave = pty.openpty()
        _set_size(slave, size)
        self.started = time.monotonic()
        # none is lost that comes before the program hears it
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(master)
            os.login_tty(slave)
            hear_signals()
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            os.execve(argv[0], list(argv), os.environ | environment)
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        os.close(slave)
        self._master = master
        self._seen = b""
        self._ended = False
        self._hung_up = False
        self._exit_code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the program."""
        return self._pid

    def hang_up(self) -> None:
        """Be gone, as when its window is closed."""
        os.close(self._master)
        self._ended = self._hung_up = True

    def exit_code(self) -> int:
        """Wait for the end of the program that has closed the terminal, or was left; what it ended with."""
        if self._exit_code is None:
            self._exit_code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._exit_code

    def resize(self, size: tuple[int, int]) -> None:
        """Give it so many columns and rows, which the program is told by a signal."""
        _set_size(self._master, size)

    def write(self, keys: bytes) -> float:
        """Press ``keys``; returns when that was."""
        now = time.monotonic()
        os.write(self._master, keys)
        return now

    def read(self, until: float) -> float | None:
        """Wait for the next bytes, but not beyond ``until``; returns when they came, None where none did."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        try:
            read = os.read(self._master, _CHUNK)
        except OSError:  # Linux's way of telling that the other end is closed
            read = b""
        now = time.monotonic()
        if not read:
            self._ended = True
            raise EOFError(f"the program ended: {self.last_words()}")
        self._seen = self._seen[-KEPT_BYTES:] + read
        return now

    def wait_for(self, painted: bytes, seconds: float) -> float:
        """Wait until ``painted`` is among what is painted from now on; returns when it came. Raises TimeoutError."""
        until = time.monotonic() + seconds
        self._seen = b""
        while time.monotonic() < until:
            now = self.read(until)
            if now is not None and painted in self._seen:
                return now
        raise TimeoutError(f"{painted!r} was not painted in {seconds} s: {self.last_words()}")

    @property
    def painted(self) -> bytes:
        """What was painted since the last wait began, as far as it is kept."""
        return self._seen

    def shows(self, text: bytes) -> bool:
        """Whether ``text`` is among what was painted last."""
        return text in self._seen

    def rest(self, seconds: float) -> None:
        """Take what is painted for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.read(until)

    def last_words(self) -> str:
        """The end of what was painted, for an error message."""
        return repr(self._seen[-400:])

    def close(self) -> None:
        """End the program, if it has not ended by itself."""
        if not self._ended:
            os.kill(self._pid, signal.SIGKILL)
        if not self._hung_up:
            os.close(self._master)
        self.exit_code()


def hear_signals() -> None:
    """Obey signals as in a terminal of one's own, whatever is ignored here, as under nohup."""
    for number in _HEARD:
        signal.signal(number, signal.SIG_DFL)


def _set_size(descriptor: int, size: tuple[int, int]) -> None:
    columns, rows = size
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
