"""How well a dialogue is predicted by each reader of the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.data.sources.corpora import CORPORA, Dialogue
from training.evaluation.perplexity.dialogue import load_twin, loss_of, measure_dialogue, sessions_of_pairs, windows
from training.evaluation.recall.reading import as_statements, read_session
from training.evaluation.recall.telling import open_store
from varda_chat.errors import CheckpointError
from varda_chat.memory import TurnChanges
from varda_chat.models.checkpoint import Checkpoint


def test_windows_count_every_token_once(checkpoint: Checkpoint) -> None:
    dialogue = Dialogue("msc", "s2-valid_1", tuple(("user", "My dog is called Rimba, he is old.") for _ in range(30)))
    cut = windows(checkpoint, dialogue)
    assert len(cut) > 2
    messages = [checkpoint.chat.encode(*turn) for turn in dialogue.turns]
    assert sum(sum(window.counted) for window in cut) == sum(len(message.ids) - 1 for message in messages)
    assert all(len(window.ids) <= checkpoint.model.config.n_positions for window in cut)
    assert not any(window.counted[0] for window in cut)
    joined = [i for w in cut for i, counted in zip(w.ids, w.counted, strict=True) if counted]
    assert joined == [i for message in messages for i in message.ids[1:]]


def test_dialogue_is_predicted_by_every_reader(checkpoint: Checkpoint, corpora: Path, tiny_checkpoint: Path) -> None:
    found = measure_dialogue(checkpoint, corpora, twin=load_twin(tiny_checkpoint, checkpoint))
    first = found[0]
    assert first.corpus == "msc"
    assert set(first.losses) == {"memory", "no memory", "another pair's memory", "twin"}
    assert 0 < first.stored <= first.told
    # the twin is the model itself, without its memory
    assert first.perplexity("twin") == pytest.approx(first.perplexity("no memory"))
    assert first.perplexity("memory") != pytest.approx(first.perplexity("no memory"))
    ratio, low, high = first.ratio("memory", "no memory")
    assert low <= ratio <= high
    assert {p.corpus for p in found[1:]} <= {corpus.name for corpus in CORPORA}


def test_an_empty_memory_predicts_like_none(checkpoint: Checkpoint, tmp_path: Path) -> None:
    cut = windows(checkpoint, Dialogue("msc", "s2-valid_1", (("user", "Hello!"), ("assistant", "Hi, how are you?"))))
    none = loss_of(checkpoint.model, cut)
    with open_store(checkpoint, tmp_path / "m") as store:
        assert loss_of(checkpoint.model, cut, store).nats == pytest.approx(none.nats)
        tokens = read_session(checkpoint, [("My dog is called Rimba.", None)])
        store.apply(TurnChanges(stores=as_statements(tokens)), session="test")
        assert loss_of(checkpoint.model, cut, store).nats != pytest.approx(none.nats)


def test_sessions_are_grouped_by_pair_and_in_order() -> None:
    dialogues = [Dialogue("msc", f"s{s}-valid_{p}", ()) for s, p in ((3, 7), (2, 12), (2, 7), (4, 7))]
    assert [[d.id for d in pair] for pair in sessions_of_pairs(dialogues)] == [
        ["s2-valid_12"],
        ["s2-valid_7", "s3-valid_7", "s4-valid_7"],
    ]


def test_a_twin_with_another_tokenizer_is_refused(
    checkpoint: Checkpoint, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from training.data.preprocess.tokenizer import train_tokenizer

    for path in tiny_checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    train_tokenizer([" another text altogether"] * 4, 290).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="another tokenizer"):
        load_twin(tmp_path, checkpoint)
    with pytest.raises(CheckpointError, match="no model"):
        load_twin(tmp_path / "nothing", checkpoint)
