"""What the flags, the environment and the settings ask for, and how a session is opened from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from varda_chat.config import paths, persona
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import VardaError
from varda_chat.text import sanitize

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession, Progress
    from varda_chat.transcripts import Transcripts


@dataclass(frozen=True)
class Request:
    """Whose memory, which model, and how it shall answer. ``checkpoint``: None for the bundled model; ``data_dir``:
    None for the usual place; ``memory_size``: capacity in vectors, None for the memory's own; ``threads``: the most
    torch computes with; ``wait``: seconds to wait for another process that is writing the memory; ``confirm_deletes``:
    see ``CONFIRM_DELETES``; ``system``: the persona for this session, None for the profile's or else ``usual_system``;
    ``usual_memory_size``: the ``memory_size`` of any other profile.
    """

    profile: str = "default"
    data_dir: Path | None = None
    checkpoint: str | None = None
    incognito: bool = False
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    memory_size: int | None = None
    threads: int | None = None
    wait: float = 0.0
    confirm_deletes: str = "auto"
    system: str | None = None
    usual_system: str = ""
    usual_memory_size: int | None = None

    @property
    def directory(self) -> Path:
        """The profile's directory. Raises VardaError where the profile has no proper name."""
        return paths.profile_dir(self.profile, self.data_dir)

    @property
    def model_name(self) -> str:
        """How the model is called before it is loaded."""
        return paths.default_checkpoint().name if self.checkpoint is None else Path(self.checkpoint).name

    def of_profile(self, name: str) -> Request:
        """The same for another profile: a ``memory_size`` that was asked for this one stays here."""
        return replace(self, profile=name, memory_size=self.usual_memory_size)

    def transcripts(self) -> Transcripts:
        """Where sessions are kept; incognito, a copy in RAM. Raises VardaError."""
        from varda_chat.transcripts import Transcripts

        return Transcripts.open(self.directory, read_only=self.incognito)

    def open(
        self,
        on_progress: Progress | None = None,
        transcripts: Transcripts | None = None,
    ) -> ChatSession:
        """The session; raises VardaError as ``ChatSession.open`` does, and MemoryLockedError before the model loads."""
        from varda_chat.session.profiles import check_free

        if not self.incognito:
            check_free(self.directory, self.wait)
        from varda_chat.session.session import ChatSession

        session = ChatSession.open(
            self.directory,
            self.checkpoint,
            incognito=self.incognito,
            generation=self.generation,
            memory_size=self.memory_size,
            transcripts=transcripts,
            threads=self.threads,
            wait=self.wait,
            on_progress=on_progress,
        )
        session.confirm_deletes = self.confirm_deletes
        try:
            session.set_persona(self.persona)
        except VardaError as error:  # the model has no place for one, or the profile's is damaged
            session.notices.append(str(error))
        return session

    @property
    def persona(self) -> str:
        """How Varda should speak in a session. Raises VardaError where the profile's cannot be read."""
        return self.system if self.system is not None else persona.kept(self.directory) or self.usual_system


def transcripts_of(request: Request, *, needed: bool) -> Transcripts | None:
    """Where sessions are kept; where that cannot be opened and is not ``needed``, the chat goes on without. Raises
    VardaError where the profile has no proper name."""
    _ = request.directory
    try:
        transcripts = request.transcripts()
    except VardaError as error:
        if needed:
            raise
        click.echo(f"{sanitize(str(error))} This session is not saved.", err=True)
        return None
    for notice in transcripts.notices:
        click.echo(sanitize(notice), err=True)
    return transcripts


def session_to_resume(transcripts: Transcripts | None, resume: int | None, resume_last: bool) -> int | None:
    """The session that the flags name, None for a new one; raises VardaError where --resume names none."""
    if transcripts is None:
        return None
    if resume is not None:
        return transcripts.session(resume).id
    latest = transcripts.latest() if resume_last else None
    return latest.id if latest is not None else None
