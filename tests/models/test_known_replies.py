"""Known replies: the selector finds lines by vectors of its own, reads them behind a line, and says what fits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.tiny_chatml import chatml_configuration, chatml_tokenizer
from varda_chat.errors import CheckpointError
from varda_chat.models.adapters import KNOWN_REPLIES
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.known_replies import (
    LONGEST,
    MAX_FILE,
    KnownReplies,
    KnownReply,
    known_replies_of,
    read_together,
    write_known_replies,
)
from varda_chat.models.llama import VardaLlamaAssociative, VardaLlamaConfig

CHAT = ChatMLFormat(chatml_tokenizer())
KNOWN = [
    KnownReply("Good morning!", "Good morning! Slept well?"),
    KnownReply("I am so tired today.", "A day to go slowly, then."),
    KnownReply("Tell me a joke.", "Why did the scarecrow win a prize? He was outstanding in his field."),
]


def configuration(**more: Any) -> VardaLlamaConfig:
    settings = {"rerank_rank": 2, "response_rank": 2, "response_dim": 8, "response_lines": len(KNOWN)}
    return chatml_configuration(CHAT, **settings | more)


@pytest.fixture
def model() -> Any:
    """A model whose selector knows KNOWN and changes what it reads."""
    torch.manual_seed(0)
    model = VardaLlamaAssociative(configuration()).eval()
    selector = model.response_selector
    assert selector is not None
    with torch.no_grad():
        for each in selector.maps.values():
            each.up.normal_()
        selector.known.copy_(selector.vectors(model, [CHAT.encode("user", each.line).ids for each in KNOWN]))
    return model


def judged(model: Any, reply: str, *, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the selector of ``model`` say of ``reply``, and of no other, that it ``fits``."""

    def forward(_model: Any, read: list[list[int]]) -> torch.Tensor:
        return torch.tensor([9.0 if (reply in CHAT.decode(each)) == fits else -9.0 for each in read])

    monkeypatch.setattr(model.response_selector, "forward", forward)


@torch.no_grad()
def test_replies_are_judged_alike_alone_and_together(model: Any) -> None:
    line = CHAT.encode("user", "morning!")
    read = [read_together(CHAT, line, each) for each in KNOWN]
    together = model.response_selector(model, read)
    alone = torch.cat([model.response_selector(model, [each]) for each in read])
    assert together.shape == (len(KNOWN),)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_it_reads_through_the_rerankers_maps_and_its_own_and_leaves_the_model_as_it_is(model: Any) -> None:
    read = [read_together(CHAT, CHAT.encode("user", "morning!"), KNOWN[0])]
    ids = torch.tensor(read)
    plain, first = model.lower_pass(ids).features, model.response_selector(model, read)
    for each in model.reranker.maps.values():
        each.up.normal_()
    assert not torch.allclose(model.response_selector(model, read), first)
    torch.testing.assert_close(model.lower_pass(ids).features, plain)


@torch.no_grad()
def test_a_known_line_is_nearest_to_itself(model: Any) -> None:
    selector = model.response_selector
    for number, each in enumerate(KNOWN):
        vector = selector.vectors(model, [CHAT.encode("user", each.line).ids])[0]
        assert selector.nearest(vector, 2)[0] == number
        assert len(selector.nearest(vector, 99)) == len(KNOWN)


def test_what_fits_is_found_and_what_was_said_is_not_said_again(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownReplies(model, CHAT, KNOWN)
    line = CHAT.encode("user", "make me laugh")
    judged(model, KNOWN[2].reply, fits=True, monkeypatch=monkeypatch)
    found = known.fitting(line)
    assert found is not None and found.known == KNOWN[2] and found.probability > 0.99
    assert known.fitting(line, but=[KNOWN[2].reply]) is None
    assert known.fitting(line, but=[each.reply for each in KNOWN]) is None


def test_nothing_is_said_below_the_threshold_or_to_a_long_line(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownReplies(model, CHAT, KNOWN)
    judged(model, KNOWN[2].reply, fits=True, monkeypatch=monkeypatch)
    assert known.fitting(CHAT.encode("user", "joke " * LONGEST)) is None
    assert known.fitting(CHAT.encode("user", "make me laugh"), told=True) is None
    model.config.memory.response_told_threshold = 0.9
    assert known.fitting(CHAT.encode("user", "make me laugh"), told=True) is not None
    model.config.memory.response_threshold = 0.99999
    assert known.fitting(CHAT.encode("user", "make me laugh")) is None


def test_they_are_read_from_the_checkpoint(model: Any, tmp_path: Path) -> None:
    write_known_replies(KNOWN, tmp_path)
    known = known_replies_of(model, CHAT, tmp_path)
    assert known is not None and known.known == tuple(KNOWN)
    plain = VardaLlamaAssociative(configuration(response_rank=0))
    assert plain.response_selector is None
    assert known_replies_of(plain, CHAT, tmp_path) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ('{"line": "hi", "reply": "Hello!"}\n', "has 1 replies, the model has 3"),
        ('{"line": "hi"}\n' * 3, "'reply'"),
        ("hello\n" * 3, "Expecting value"),
        ("[1, 2]\n" * 3, "indices must be integers"),
    ],
)
def test_a_file_that_does_not_fit_is_named(model: Any, tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / KNOWN_REPLIES).write_text(text, "utf-8")
    with pytest.raises(CheckpointError, match=f"{KNOWN_REPLIES} cannot be used: .*{said}"):
        known_replies_of(model, CHAT, tmp_path)


def test_a_pipe_in_place_of_the_file_or_a_huge_one_is_refused(model: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / KNOWN_REPLIES)
    with pytest.raises(CheckpointError, match="not a regular file"):
        known_replies_of(model, CHAT, tmp_path)
    (tmp_path / KNOWN_REPLIES).unlink()
    with (tmp_path / KNOWN_REPLIES).open("wb") as file:
        file.truncate(MAX_FILE + 1)
    with pytest.raises(CheckpointError, match="is larger than"):
        known_replies_of(model, CHAT, tmp_path)


def test_control_characters_in_the_file_are_not_said(model: Any, tmp_path: Path) -> None:
    hostile = [KnownReply(each.line, f"\x1b[31m{each.reply}\x07") for each in KNOWN]
    write_known_replies(hostile, tmp_path)
    known = known_replies_of(model, CHAT, tmp_path)
    assert known is not None and not [each for each in known.known if "\x1b" in each.reply or "\x07" in each.reply]


def test_known_replies_need_a_reranker() -> None:
    with pytest.raises(ValueError, match="response_rank needs a rerank_rank"):
        configuration(rerank_rank=0)
