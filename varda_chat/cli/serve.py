"""``varda-chat serve``: the chat in a browser. Imports the server only when it is asked for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from varda_chat.cli.tokens import TOKEN_VARIABLE, token_from, warn_of
from varda_chat.config.installer import install_command
from varda_chat.errors import VardaError
from varda_chat.session.request import Request

DEFAULT_CHATS = 4
_NOT_HERE = {"prompt": "--prompt", "as_json": "--json", "reset_memory": "--reset-memory"}


@click.command(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "ignore_unknown_options": True,
    },
    options_metavar="[OPTIONS] [FLAGS OF THE CHAT]",
)
@click.option("--host", default="127.0.0.1", help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, help="Port to listen at.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help=f"File with the token that the URL requires.  [default: ${TOKEN_VARIABLE} or a new one each time]",
)
@click.option("--token", "shown_token", hidden=True)
@click.option(
    "--max-chats", type=click.IntRange(1, 64), default=DEFAULT_CHATS, help="Maximum number of chats open at once."
)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="")
@click.pass_context
def serve(
    ctx: click.Context,
    host: str,
    port: int,
    token_file: Path | None,
    shown_token: str | None,
    max_chats: int,
    flags: tuple[str, ...],
) -> None:
    """Chat in a browser.

    Prints an address that bears a token; who opens it chats as you. Flags of the chat, such as --profile or
    --incognito, may stand before or after "serve".
    """
    if shown_token is not None:
        raise click.UsageError(
            "A token on the command line is visible to every user of this machine. "
            f"Set {TOKEN_VARIABLE} or use --token-file."
        )
    command = chat_command(ctx, flags)
    token, _ = token_from(token_file)
    try:
        from varda_chat.web.server import ChatServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"textual_serve", "aiohttp", "aiohttp_jinja2"}:
            raise
        raise VardaError(
            f"The chat in a browser needs one more package: {install_command('varda-chat[web]')}."
        ) from None
    warn_of(host)
    try:
        ChatServer(command, host, port, token, max_chats).serve()
    except OSError as error:
        raise VardaError(f"Port {port} of {host} cannot be used: {error.strerror or error}.") from error


def chat_command(ctx: click.Context, flags: Sequence[str]) -> str:
    """The command line of the chat, with the flags before ``serve`` and those after it. Raises click.UsageError or
    VardaError for what the chat would not begin with."""
    from varda_chat.tui.start import check

    root = ctx.find_root()
    arguments = [*_given(root), *flags]
    with click.Command("varda-chat", params=root.command.params).make_context("varda-chat", list(arguments)) as asked:
        for name, flag in _NOT_HERE.items():
            if asked.params[name]:
                raise click.UsageError(f"{flag} does not go with serve.")
        check(Request(asked.params["profile"], asked.params["data_dir"]), asked.obj, asked.params["theme"])
    return shlex.join([sys.executable, "-P", "-m", "varda_chat", *arguments])


def _given(root: click.Context) -> list[str]:
    """The flags that stand before ``serve``, written out again."""
    found: list[str] = []
    for option in root.command.params:
        name = option.name or ""
        if root.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = root.obj.path if name == "config" else root.params[name]
        found += (
            [option.opts[-1]] if isinstance(option, click.Option) and option.is_flag else [option.opts[-1], str(value)]
        )
    return found
