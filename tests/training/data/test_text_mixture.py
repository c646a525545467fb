"""Training on text: what the episodes ask of the memory, rows read from disk, and the whole way from a plain GPT-2 in
the hub's layout and a directory of notes to a measured checkpoint."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from tests.helpers.plain_gpt2 import make_base
from tests.helpers.texts import long_texts, prose, source, texts
from training.cli import evaluate, train
from training.data.dialogue_rows import DialogueRows
from training.data.document_episodes import TextEpisodes
from training.data.episodes import STATEMENTS
from training.data.mixture import Data, Stack
from training.data.preprocess.pipeline import How, prepare_text
from training.data.preprocess.token_files import PreparedText
from training.data.sources.documents import Document
from training.data.text_mixture import talk_of, text_data
from training.evaluation.perplexity.documents import MEMORY, NO_MEMORY, SHUFFLED, Tally, measure_perplexity, windows
from training.evaluation.perplexity.plain_models import load_plain
from training.process_group import ALONE, ProcessGroup
from training.run import build, config_of
from varda_chat.config.paths import bundled_checkpoint
from varda_chat.errors import DataError
from varda_chat.models.checkpoint import load_checkpoint

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedText:
    directory = tmp_path_factory.mktemp("prepared") / "text"
    return prepare_text([source(long_texts(60))], How(vocab_size=400, held_out=0.1), directory)


def test_an_episode_asks_for_words_of_earlier_segments(prepared: PreparedText) -> None:
    split = prepared.split("train")
    episodes = TextEpisodes(split, prepared.chat, split.counts(400))
    asked = 0
    for seed in range(20):
        arrays = episodes.build(random.Random(seed), 3, 64)
        again = episodes.build(random.Random(seed), 3, 64)
        assert all(np.array_equal(getattr(arrays, n), getattr(again, n)) for n in arrays.__dataclass_fields__)
        assert (arrays.turn[arrays.valid] == np.nonzero(arrays.valid)[0]).all(), "a segment is stored when it ends"
        text = prepared.chat.tokenizer.decode(arrays.ids[arrays.valid].tolist())
        document = [d for d in split if set(arrays.ids[arrays.valid].tolist()) <= set(d.ids.tolist())]
        assert any(text in prepared.chat.tokenizer.decode(d.ids.tolist()) for d in document), "consecutive text"
        for session, at in np.argwhere(arrays.target_statement >= 0).tolist():
            asked += 1
            statement, token = arrays.target_statement[session, at], arrays.ids[session, at + 1]
            earlier = arrays.statement[:session] == statement
            assert (arrays.ids[:session][earlier] == token).any(), "the vector to find is of an earlier segment"
            assert arrays.created_turn[statement] < arrays.turn[session, at]
        stored = arrays.statement >= 0
        assert (arrays.store_label[stored] == 1).all()
        assert arrays.statement.max() < STATEMENTS
    assert asked > 50


def test_rows_are_the_same_whenever_and_in_whatever_order_they_are_read(prepared: PreparedText) -> None:
    """What a resumed run reads is what an uninterrupted one does."""
    one, other = (DialogueRows(prepared.split("train"), 64, 5, 0, mixed=True) for _ in range(2))
    numbers = [*range(20), one.rows_per_epoch + 3]
    first = [one.row(n).ids for n in numbers]
    second = [other.row(n).ids for n in reversed(numbers)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    epoch = np.concatenate([one.row(n).ids[one.row(n).valid] for n in range(one.rows_per_epoch)])
    everything = np.concatenate([d.ids for d in prepared.split("train")])
    rest = np.bincount(everything, minlength=400) - np.bincount(epoch, minlength=400)
    assert (rest >= 0).all(), "no token is read twice"
    assert rest.sum() < 64, "only what fills no row is left out"


def test_text_alone_trains_a_model_and_its_memory(prepared: PreparedText, tmp_path: Path) -> None:
    config = config_of("nano", {"max_steps": 3, "warmup_steps": 1, "fact_episodes": 2, "dialogue_rows": 1,
                                "save_every": 3, "validate_every": 3, "mixed_precision": "no",
                                "datasets": (str(prepared.directory),)})  # fmt: skip
    assert build(config, None, tmp_path / "out", QUIET) is None, "nothing was told, so no recall is measured"
    records = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["validation"]["loss"] < math.log(400) + 1
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| mine | none | nobody |" in card
    assert "does not chat" in card
    assert "small talk" not in card
    assert load_checkpoint(tmp_path / "out").chat.tokenizer.get_vocab_size() == 400
    manifest = json.loads((tmp_path / "out" / "datasets.json").read_text())
    (tmp_path / "out" / "datasets.json").write_text(json.dumps(["another"]))
    with pytest.raises(DataError, match="changed since"):
        build(config, None, tmp_path / "out", QUIET, resume=True)
    assert manifest == [prepared.digest]


def test_an_epoch_reads_each_row_once_however_many_batches_make_a_step(
    prepared: PreparedText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("nano", {"fact_episodes": 1, "dialogue_rows": 16, "gradient_accumulation_steps": 4,
                                "mixed_precision": "no", "datasets": (str(prepared.directory),)})  # fmt: skip
    rows_per_epoch = text_data(config, [prepared], prepared.chat).training_rows.rows_per_epoch
    read: list[int] = []
    rows = Data.rows

    def counted(self: Data, step: int, group: ProcessGroup = ALONE) -> Stack:
        stack = rows(self, step, group)
        read.append(stack.total)
        return stack

    monkeypatch.setattr(Data, "rows", counted)
    build(config, None, tmp_path / "out", QUIET, epochs=0.5)
    assert sum(read) == pytest.approx(rows_per_epoch / 2, abs=32), "half a step more or less"
    records = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["epoch"] == pytest.approx(sum(read) / rows_per_epoch, abs=1e-3)


def test_dialogue_and_text_together_tell_facts_between_the_dialogues_lines(tmp_path: Path) -> None:
    said = [("user", "Do you like tea?"), ("assistant", "I do, with milk.")]
    talk = [Document(f"d{n}", turns=(*said, ("user", prose(n)), ("assistant", "Oh.")), key=f"d{n}") for n in range(60)]
    text = prepare_text([source([*talk, *long_texts(20)])], How(vocab_size=500), tmp_path / "out")
    assert next(talk_of([text.split("train")], text.chat)).turns in [d.turns for d in talk]
    config = config_of("nano", {"fact_episodes": 3, "multi_session_episodes": 1, "dialogue_rows": 2})
    data = text_data(config, [text], text.chat)
    assert data.builder is not None
    assert ("Do you like tea?", "I do, with milk.") in data.builder.exchanges
    for step in range(3):
        facts = data.facts(step).arrays
        assert len(facts.ids) == 4, "three episodes of facts, one of segments"
        assert (facts.topic[:3] >= 0).any()
        assert (facts.topic[3] == -1).all()
        rows = data.rows(step).arrays
        assert rows.valid.mean() > 0.9
        assert (rows.turn[rows.valid] >= 0).all()


@pytest.mark.parametrize(("length", "size", "stride"), [(1, 8, 4), (8, 8, 4), (9, 8, 4), (50, 8, 3), (7, 20, 10)])
def test_every_token_but_the_first_is_counted_once(length: int, size: int, stride: int) -> None:
    found = windows(length, size, stride)
    assert [t for w in found for t in range(w.counted, w.end)] == list(range(1, length))
    assert all(w.end - w.start <= size for w in found)
    assert all(w.counted - w.start >= size - stride for w in found[1:])


def test_the_figures_are_what_they_say() -> None:
    tally = Tally(4)
    logits = torch.zeros(6, 4)
    logits[torch.arange(6), torch.tensor([0, 0, 1, 1, 2, 0])] = 1e-4  # what is said; all but uniform
    tally.add(0, logits, torch.tensor([0, 1, 1, 1, 0, 0]))
    assert math.isclose(math.exp(tally.nats / tally.tokens), 4, rel_tol=1e-3), "a uniform model"
    assert (tally.right, tally.tokens) == (4, 6)
    # classes 0 and 1: 2 of 3 said and of 3 meant, 2 of 2 and of 3; class 2 is said in vain; class 3 does not occur
    assert math.isclose(tally.macro_f1, (2 / 3 + 4 / 5 + 0) / 3)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


def invoke(command: object, *arguments: object) -> str:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_a_plain_gpt2_and_a_directory_of_notes_to_a_measured_checkpoint(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VARDA_CHAT_HOME", str(tmp_path / "home"))
    notes, out = tmp_path / "notes", tmp_path / "out"
    notes.mkdir()
    for document in long_texts(30):
        (notes / f"{document.id}.txt").write_text(document.text, encoding="utf-8")
    invoke(train, "prepare", notes, "--tokenizer", base, "--output-dir", tmp_path / "text", "--held-out", 0.1)
    invoke(
        train, "--dataset", tmp_path / "text", "--base-model", base, "--preset", "nano", "--max-steps", 2,
        "--frozen-base-steps", 1, "--fact-episodes", 2, "--dialogue-rows", 1, "--mixed-precision", "no",
        "--output-dir", out,
    )  # fmt: skip
    assert "Measure it" in invoke(train, "--dataset", notes, "--seed", 3, "--finetune-from", out, "--preset", "nano",
                                  "--max-steps", 1, "--fact-episodes", 1, "--dialogue-rows", 1,
                                  "--mixed-precision", "no", "--output-dir", tmp_path / "more")  # fmt: skip
    found = json.loads(
        invoke(evaluate, out, "perplexity", "--dataset", tmp_path / "text", "--split", "train", "--documents", 4,
               "--window", 64, "--against", base, "--json")
    )  # fmt: skip
    readers = found["readers"]
    assert set(readers) == {MEMORY, NO_MEMORY, SHUFFLED, "against"}
    assert found["against"] == base.name
    assert found["could_be_stored"] > 0
    assert all(1 < r["word_perplexity"] < math.inf and 0 <= r["accuracy"] <= 1 for r in readers.values())
    assert readers["against"]["tokens"] == readers[NO_MEMORY]["tokens"], "the same tokens, of its own tokenizer"
    shown = invoke(evaluate, out, "perplexity", "--dataset", notes, "--documents", 2, "--split", "train")
    assert "another document's memory" in shown
    held = tmp_path / "home" / "prepared"
    assert len(list(held.glob("*/manifest.json"))) == 1, "a run of another seed has the same held-out text"
    foreign = ["--dataset", tmp_path / "text", "--finetune-from", bundled_checkpoint(), "--output-dir", tmp_path / "no"]
    wrong = CliRunner().invoke(train, [str(argument) for argument in foreign])
    assert wrong.exit_code == 1
    assert "another tokenizer" in wrong.output.replace("\n", " ")


def test_at_step_0_perplexity_is_the_base_models(base: Path, tmp_path: Path) -> None:
    """Its own tokens have the same chances; the chat's three new tokens take a little of each."""
    from training.data.preprocess.tokenizer import save_tokenizer
    from training.model_init import adapt
    from training.run import export

    chat, model = adapt(base, {})
    save_tokenizer(chat.tokenizer, tmp_path / "out", 128)
    export(model, tmp_path / "out")
    text = prepare_text([source(texts(80))], How(tokenizer=chat.tokenizer), tmp_path / "text")
    found = measure_perplexity(
        load_checkpoint(tmp_path / "out"), text.split("train"), "train", at_most=3, against=load_plain(str(base), chat)
    )
    plain, ours = found.perplexity("against"), found.perplexity(NO_MEMORY)
    assert abs(ours / plain - 1) < 0.02
