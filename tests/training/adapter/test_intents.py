"""The intents' stage: every kind of line is drawn, read where a chat decides, and learned; the rest stays as it is."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from training.adapter import intents_command
from training.adapter.intents import (
    SHARES,
    IntentConfig,
    WantingLine,
    held_out,
    intent_loss,
    read_ends,
    train_intents,
    wanting_lines,
)
from training.adapter.judged import load_judged
from training.adapter.labels import INTENT, UNLABELLED
from training.adapter.lines import load_lines
from training.data.synthetic.relations import ALL_RELATIONS
from training.data.synthetic.written import load_facts
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.models.configuration import INTENTS

CHAT = ChatMLFormat(chatml_tokenizer())
LINES = [
    WantingLine("My dog is called Rimba.", "tell"),
    WantingLine("Who is my dog?", "ask"),
    WantingLine("No, she is called Tava.", "correct", ("My dog is called Rimba.", "A fine name.")),
    WantingLine("Forget my dog.", "forget"),
    WantingLine("Good morning!", "other"),
    WantingLine("never forget a face", None),
]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return chatml_model(CHAT)


def silent(_: str) -> None:
    pass


def drawn(seed: int) -> list[WantingLine]:
    return wanting_lines(
        load_lines(validation=True), load_facts(validation=True), ALL_RELATIONS[:9], load_judged(validation=True),
        ["nice weather here"], "train", random.Random(seed),
    )  # fmt: skip


def test_every_intent_is_drawn_alone_and_behind_another_exchange() -> None:
    lines = drawn(1)
    assert {line.intent for line in lines} == {*INTENTS, None} == set(SHARES)
    assert {line.intent for line in lines if line.before} == {*INTENTS, None}
    assert all(line.text and "{" not in line.text for line in lines)
    assert lines == drawn(1) != drawn(2)


def test_what_only_seems_to_ask_for_a_change_is_not_labelled_as_one() -> None:
    texts = {each.pairs[0].line for each in load_judged(validation=True) if each.kind == "none"}
    found = [line.intent for line in drawn(1) if line.text in texts]
    assert found and set(found) == {None}


def test_a_line_is_read_at_its_end_whatever_is_read_beside_it(model: Any) -> None:
    ends = read_ends(model, CHAT, LINES, silent)
    assert ends.intent.tolist() == [*(INTENT[str(line.intent)] for line in LINES[:-1]), UNLABELLED]
    for number, line in enumerate(LINES):
        alone = read_ends(model, CHAT, [line], silent)
        torch.testing.assert_close(alone.address[0], ends.address[number], rtol=1e-2, atol=1e-2)
    output = model.lower_pass(torch.tensor([[*CHAT.opening, *CHAT.encode("user", LINES[0].text).ids]]))
    end = -CHAT.encode("user", LINES[0].text).footer
    torch.testing.assert_close(ends.address[0, 0].float(), output.address.mean[0, end], rtol=1e-2, atol=1e-2)


def test_lines_are_learned_and_nothing_but_the_intents_changes(model: Any) -> None:
    ends = read_ends(model, CHAT, LINES, silent)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    first, _ = held_out(model.memory_layer, ends)
    train_intents(model.memory_layer, ends, ends, IntentConfig(max_steps=120, batch=64, rate=5e-3), silent)
    last, shares = held_out(model.memory_layer, ends)
    assert last < first / 2
    assert shares.split(" changing")[0] == "other 1/1 tell 1/1 ask 1/1 correct 1/1 forget 1/1"
    changed = {name for name, each in model.state_dict().items() if not torch.equal(each, before[name])}
    assert changed and all(name.startswith("memory_layer.fc_intent.") for name in changed)


def test_a_line_without_a_label_is_only_kept_from_changing() -> None:
    tells, forgets = (torch.nn.functional.one_hot(torch.tensor([INTENT[each]]), 5) * 9.0 for each in ("tell", "forget"))
    none = torch.tensor([UNLABELLED])
    assert intent_loss(tells, none) < 0.01 < 5 < intent_loss(forgets, none)
    assert intent_loss(tells, torch.tensor([INTENT["ask"]])) > 5


def test_labels_that_are_smoothed_forgive_no_certainty() -> None:
    sure, less = (torch.nn.functional.one_hot(torch.tensor([INTENT["tell"]]), 5) * size for size in (12.0, 5.0))
    tell = torch.tensor([INTENT["tell"]])
    assert intent_loss(sure, tell) < intent_loss(less, tell)
    assert intent_loss(sure, tell, smoothing=0.1) > intent_loss(less, tell, smoothing=0.1)


def test_what_is_told_in_passing_is_a_telling_and_its_twin_is_not() -> None:
    lines = {line.text: line.intent for line in drawn(1) if not line.before}
    passing = load_lines(validation=True).passing
    assert len(passing) > 50
    assert {lines[each.tells] for each in passing} == {"tell"}
    assert {lines[each.twin] for each in passing} == {"other"}
    assert all(each.keep in each.tells for each in passing)


def test_what_was_read_of_another_model_or_other_lines_is_read_again(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = SimpleNamespace(lines=load_lines(validation=True), facts=[], split="train")
    cache = tmp_path / "ends.pt"
    said: list[str] = []
    monkeypatch.setattr(
        intents_command, "wanting_lines", lambda *given: LINES + [WantingLine(text, None) for text in given[4]]
    )

    def reads(fingerprint: str, real: list[str]) -> bool:
        """Whether what is there is of something else."""
        said.clear()
        data: Any = SimpleNamespace(builder=builder, validation=builder, real_lines=real)
        found = Checkpoint(model, CHAT, "tiny", fingerprint)
        ends, held = intents_command.read_all(found, data, IntentConfig(), cache, said.append)
        assert (len(ends.intent), len(held.intent)) == (len(LINES) + len(real), len(LINES))
        return any("reading again" in line for line in said)

    assert not reads("one", []) and cache.exists()
    for fingerprint, real in (("two", []), ("two", ["It rains."])):
        assert reads(fingerprint, real)
        assert not reads(fingerprint, real)
    torch.save([torch.zeros(1)] * 4, cache)  # the old form, which does not say what was read
    assert reads("two", ["It rains."])
