"""What was said in each session, kept in sessions.db beside the memory. Imports nothing heavy."""

from varda_chat.transcripts.recording import Recording
from varda_chat.transcripts.records import FoundTurn, SessionInfo, StoredTurn
from varda_chat.transcripts.store import Transcripts

__all__ = ["FoundTurn", "Recording", "SessionInfo", "StoredTurn", "Transcripts"]
