"""``varda-chat memory ...``: the memory looked at, changed and moved from the command line. Imports nothing heavy."""

from __future__ import annotations

import click

from varda_chat.cli.memory import changing, looking, moving, purging, reading


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def memory() -> None:
    """Look at, change and move what is remembered."""


for _module in (looking, changing, purging, moving, reading):
    for _command in _module.COMMANDS:
        memory.add_command(_command)
