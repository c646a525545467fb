"""``varda-chat api``: the chat as an OpenAI-compatible endpoint. Imports the server only when it is asked for."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import click

from varda_chat.cli.options import Place, at_a_place, request_of
from varda_chat.cli.parameters import WholeNumber
from varda_chat.cli.tokens import TOKEN_VARIABLE, token_from, warn_of
from varda_chat.config.installer import install_command
from varda_chat.errors import VardaError
from varda_chat.session.request import transcripts_of
from varda_chat.text import sanitize

DEFAULT_PORT = 8001
_GRACE_SECONDS = 5
_NOT_HERE = {
    "prompt": "--prompt",
    "reset_memory": "--reset-memory",
    "resume_last": "--continue",
    "resume": "--resume",
}


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen at; 0 for any that is free.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help=f"File with the token that clients give as API key.  [default: ${TOKEN_VARIABLE} or a new one each time]",
)
@click.option(
    "--max-waiting",
    type=WholeNumber(0, 1000),
    default=8,
    show_default=True,
    help="Requests that may wait while one is answered; more are refused with status 429.",
)
@at_a_place(model=True)
def api(place: Place, host: str, port: int, token_file: Path | None, max_waiting: int) -> None:
    """Serve the chat to programs that speak OpenAI's interface.

    Prints the base URL, and the API key where none was given. What is stored, deleted and recalled comes in the field
    "varda" of each answer. The flags of the chat (--profile, --incognito, --temperature, ...) may stand before "api".
    """
    root = click.get_current_context().find_root()
    for name, flag in _NOT_HERE.items():
        if root.params.get(name):
            raise click.UsageError(f"{flag} does not go with api.")
    request = replace(request_of(root), profile=place.profile, data_dir=place.data_dir, checkpoint=place.checkpoint)
    token, new = token_from(token_file)
    try:
        import uvicorn

        from varda_chat.api.server import application
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"uvicorn", "starlette"}:
            raise
        raise VardaError(f"The endpoint needs two more packages: {install_command('varda-chat[api]')}.") from None
    warn_of(host)
    with _listening(host, port) as listening:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/v1"

        def say() -> None:
            lines = [f"The endpoint is at {address}"] + ([f"Its API key is {token}"] if new else [])
            place.say(
                {"base_url": address} | ({"api_key": token} if new else {}), "\n".join([*lines, "Ctrl+C ends it."])
            )

        transcripts = transcripts_of(request, needed=False)
        with nullcontext() if transcripts is None else transcripts:
            session = request.open(transcripts=transcripts)
            for notice in session.notices:
                click.echo(sanitize(notice), err=True)
            app = application(session, token, most_waiting=max_waiting, on_ready=say)
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=_GRACE_SECONDS
            )
            uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens, so that a port in use is told of before the model loads. Raises VardaError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise VardaError(f"Port {port} of {host} cannot be used: {error.strerror or error}.") from error
