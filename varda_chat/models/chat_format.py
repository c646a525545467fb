"""How a conversation becomes token ids: ``<|user|> text <|end|> <|assistant|> text <|end|>``, and which sentence
each token came from."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL_TOKENS = (USER, ASSISTANT, END)
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
SYSTEM_PROMPT = "You are Varda, a friendly companion with a memory."
"""What a model that was made from a pretrained chat model is told first."""
NOTES = {
    "stored": "Stored.",
    "replaced": "Replaced.",
    "deleted": "Deleted.",
    "nothing_to_delete": "Not found, nothing deleted.",
    "incognito": "Not stored.",
    "recalled": "Found:",
    "unknown": "Nothing found.",
}
"""What a reply is told of each decision, in words; nothing where the memory has no part in it."""
NOTE_STATEMENTS, NOTE_TOKENS = 3, 64
"""The most statements that stand before a reply, and the most tokens of each."""

# the end of a sentence: a stop and white space, but not after a title or an initial, or a line break
_SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\b[A-Z])(?<![.!?])[.!?]+[\"')\]]*\s+|\n+"
)
# a clause with a subject of its own, linked to the one before: "..., and my cat is called Tom"
_NEXT_CLAUSE = re.compile(
    r"[,;]?\s(?=(?:and|but)\s(?:i|i'm|im|my|mine|we|we're|our|he|he's|she|she's|it|it's|its|his|her|they|their|the)\s)"
    r"|;\s",
    re.IGNORECASE,
)
_CLAUSE_WORDS = 4
# letters and digits with what joins them inside ("6:05", "brother-in-law"), or a run of other marks
_WORD = re.compile(r"\w+(?:[:.,/\-]\w+)*|[^\w\s]+")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) character spans of the sentences of ``text``, and of the clauses in them that "and" or "but" links
    and that have four words or more on either side; they cover the text without gaps."""
    return [part for start, end in _whole_sentences(text) for part in _clauses(text, start, end)]


def _clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    spans = []
    for match in _NEXT_CLAUSE.finditer(text, start, end):
        left, right = text[start : match.end()], text[match.end() : end]
        if min(len(left.split()), len(right.split())) >= _CLAUSE_WORDS:
            spans.append((start, match.end()))
            start = match.end()
    return [*spans, (start, end)]


def _whole_sentences(text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        if text[start : match.end()].strip():
            spans.append((start, match.end()))
            start = match.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans


@dataclass(frozen=True)
class EncodedMessage:
    """One message as tokens: ``ids`` with its role and end tokens; ``sentence[i]`` is the index into ``sentences`` of
    token i, -1 for the role and end tokens; ``word[i]`` the number of its word or mark, -1 likewise; ``offsets[i]`` its
    (start, end) in the message's text; ``header`` and ``footer``: how many tokens stand before and after the text's.
    ``mentions``: of a reply, the statements that its turn told or named."""

    role: str
    ids: list[int]
    sentence: list[int]
    word: list[int]
    sentences: list[str]
    offsets: list[tuple[int, int]]
    header: int = 1
    footer: int = 1
    mentions: frozenset[int] = frozenset()

    def led_by(self, note: Sequence[int]) -> EncodedMessage:
        """This message with the tokens ``note`` before it, as part of its header."""
        none = [-1] * len(note)
        return replace(
            self,
            ids=[*note, *self.ids],
            sentence=[*none, *self.sentence],
            word=[*none, *self.word],
            offsets=[*[(0, 0)] * len(note), *self.offsets],
            header=self.header + len(note),
        )

    def part(self, start: int, end: int) -> EncodedMessage:
        """The header and tokens ``start`` (``header`` or more) to ``end`` of this message."""
        head = slice(0, self.header)
        return replace(
            self,
            ids=self.ids[head] + self.ids[start:end],
            sentence=self.sentence[head] + self.sentence[start:end],
            word=self.word[head] + self.word[start:end],
            offsets=self.offsets[head] + self.offsets[start:end],
        )


def statement_numbers(messages: Iterable[EncodedMessage]) -> list[int]:
    """For each token of ``messages``, in a row: the number of its statement, counted through all of them, -1 for role
    and end tokens. What ``VardaGPTAssociative.forward`` takes as ``statements``."""
    numbers: list[int] = []
    first = 0
    for message in messages:
        numbers += [first + sentence if sentence >= 0 else -1 for sentence in message.sentence]
        first += len(message.sentences)
    return numbers


class ChatFormat:
    """Encodes messages for one tokenizer (a ``tokenizers.Tokenizer`` that knows the three special tokens).

    opening: tokens that a session begins with. reply_prompt: the header of a reply. banned: tokens that no reply may
    hold, because they would begin another message. note_room: the most tokens that a note has.
    """

    note_room = 0

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        ids = [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS]
        if None in ids:
            raise ValueError(
                f"the tokenizer lacks {', '.join(t for t, i in zip(SPECIAL_TOKENS, ids, strict=True) if i is None)}"
            )
        self.user_id, self.assistant_id, self.end_id = ids
        self.special_tokens: tuple[str, ...] = SPECIAL_TOKENS
        self.special_ids = frozenset(ids)
        self.headers: dict[str, list[int]] = {"user": [self.user_id], "assistant": [self.assistant_id]}
        self.footer: list[int] = [self.end_id]
        self.opening: list[int] = []
        self.banned: list[int] = [self.user_id, self.assistant_id]

    @property
    def reply_prompt(self) -> list[int]:
        return self.headers["assistant"]

    @property
    def takes_system_prompt(self) -> bool:
        """Whether sessions begin with a system prompt, behind which a persona can stand."""
        return bool(self.opening)

    def opening_with(self, persona: str) -> list[int]:
        """The tokens that a session begins with: the system prompt, and ``persona`` behind it."""
        if not persona:
            return list(self.opening)
        words = self.encode("user", persona)
        end = len(self.footer)
        return [*self.opening[:-end], *words.ids[words.header : -words.footer], *self.footer]

    def encode(self, role: str, text: str) -> EncodedMessage:
        """The message as tokens. Every text starts with a space, so that a word is the same token wherever it stands,
        and special tokens written out in ``text`` are ordinary characters."""
        text = text.strip()
        encoding = self.tokenizer.encode(" " + self._break_special(text), add_special_tokens=False)
        spans = sentence_spans(text)
        header, footer = self.headers[role], self.footer
        sentence, offsets = [-1] * len(header), [(0, 0)] * len(header)
        ends = [match.end() for match in _WORD.finditer(text)]
        word, current = [-1] * len(header), 0
        for start, end in encoding.offsets:
            start, end = max(start - 1, 0), max(end - 1, 0)
            word.append(bisect_left(ends, end))
            while current + 1 < len(spans) and (start + end) / 2 >= spans[current][1]:
                current += 1
            sentence.append(current if spans else -1)
            offsets.append((start, end))
        return EncodedMessage(
            role=role,
            ids=[*header, *encoding.ids, *footer],
            sentence=[*sentence, *[-1] * len(footer)],
            word=[*word, *[-1] * len(footer)],
            sentences=[text[start:end].strip() for start, end in spans],
            offsets=[*offsets, *[(len(text), len(text))] * len(footer)],
            header=len(header),
            footer=len(footer),
        )

    def note(self, status: str, statements: Sequence[str] = ()) -> list[int]:
        """What a reply reads first: what was decided (one of STATUSES), and ``statements`` that were found, word for
        word. Models that decide after the reply read none."""
        return []

    def fits_a_note(self, statement: str) -> bool:
        """Whether a note has ``statement`` as a whole."""
        return False

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids`` without the special tokens."""
        text: str = self.tokenizer.decode([i for i in ids if i not in self.special_ids], skip_special_tokens=False)
        return text

    def _break_special(self, text: str) -> str:
        """``text`` with written-out special tokens broken up, one character for one, so that they stay text."""
        for token in self.special_tokens:
            broken = (
                token.replace("|", "¦") if "|" in token else f"\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}{token[1:]}"
            )
            text = text.replace(token, broken)
        return text


class ChatMLFormat(ChatFormat):
    """Encodes messages by ChatML, the template of SmolLM2 and Qwen: ``<|im_start|>role\\n text<|im_end|>\\n``.

    A session begins with the system message ``SYSTEM_PROMPT``; a note is a message of the role "memory".
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        start, end = (tokenizer.token_to_id(token) for token in CHATML_TOKENS)
        if start is None or end is None:
            raise ValueError(f"the tokenizer lacks {' and '.join(CHATML_TOKENS)}")

        def encoded(text: str) -> list[int]:
            ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
            return ids

        self.headers = {role: encoded(f"{CHATML_TOKENS[0]}{role}\n") for role in ("user", "assistant")}
        self.footer = encoded(f"{CHATML_TOKENS[1]}\n")
        self._note_header = encoded(f"{CHATML_TOKENS[0]}memory\n")
        self._notes = {status: encoded(text) for status, text in NOTES.items()}
        self.note_room = NOTE_STATEMENTS * NOTE_TOKENS + 2 * len(self._note_header) + len(self._notes["recalled"])
        self.opening = encoded(f"{CHATML_TOKENS[0]}system\n{SYSTEM_PROMPT}{CHATML_TOKENS[1]}\n")
        self.end_id = end
        self.user_id, self.assistant_id = self.headers["user"][1], self.headers["assistant"][1]
        self.special_tokens = tuple(
            added.content for added in tokenizer.get_added_tokens_decoder().values() if added.special
        )
        self.special_ids = frozenset((start, end))
        self.banned = [start]

    def note(self, status: str, statements: Sequence[str] = ()) -> list[int]:
        """As ``ChatFormat.note``: statements stand one a line, the surest first, none longer than NOTE_TOKENS."""
        if status not in self._notes:
            return []
        ids = [*self._note_header, *self._notes[status]]
        for text in statements[:NOTE_STATEMENTS]:
            ids += self._note_line(text)[:NOTE_TOKENS]
        return [*ids, *self.footer]

    def fits_a_note(self, statement: str) -> bool:
        """As ``ChatFormat.fits_a_note``."""
        return len(self._note_line(statement)) <= NOTE_TOKENS

    def _note_line(self, text: str) -> list[int]:
        line = f"\n- {self._break_special(' '.join(text.split()))}"
        ids: list[int] = self.tokenizer.encode(line, add_special_tokens=False).ids
        return ids


def chat_format_of(tokenizer: Any) -> ChatFormat:
    """The format that ``tokenizer`` (a ``tokenizers.Tokenizer``) has the special tokens for; raises ValueError."""
    if tokenizer.token_to_id(CHATML_TOKENS[0]) is not None:
        return ChatMLFormat(tokenizer)
    return ChatFormat(tokenizer)
