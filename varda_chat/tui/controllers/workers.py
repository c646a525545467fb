"""Runs a controller's method in a worker of its screen, which tells what goes wrong in one; that ends nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from textual.screen import Screen
from textual.worker import WorkType

P = ParamSpec("P")


class OnScreen(Protocol):
    """A controller."""

    @property
    def screen(self) -> Screen[Any]:
        """Where it belongs."""
        ...


C = TypeVar("C", bound=OnScreen)
Act = Callable[Concatenate[C, P], Coroutine[None, None, None]]


def in_worker(group: str, *, exclusive: bool = False) -> Callable[[Act[C, P]], Callable[Concatenate[C, P], None]]:
    """Let calls of the method begin a worker of ``group`` and return at once. ``exclusive``: those before it end."""

    def decorate(act: Act[C, P]) -> Callable[Concatenate[C, P], None]:
        @wraps(act)
        def begin(controller: C, /, *given: P.args, **named: P.kwargs) -> None:
            work: WorkType[None] = partial(act, controller, *given, **named)
            controller.screen.run_worker(work, name=act.__name__, group=group, exclusive=exclusive, exit_on_error=False)

        return begin

    return decorate
