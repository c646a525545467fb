"""``varda-chat memory ...`` by click's runner."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from varda_chat.cli.main import main

SAID = "the safe opens with 4711"


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["memory", *map(str, arguments)], input=stdin)


def answers(*arguments: object) -> list[Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]
