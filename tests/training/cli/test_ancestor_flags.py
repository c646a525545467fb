"""The original's flags, by its names, and its set-up: gpt2, vectors of 768 floats, five results, 10,000 vectors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.helpers.plain_gpt2 import make_base
from tests.helpers.texts import long_texts, source
from training.checkpointing import saved_config
from training.cli import train
from training.cli.prepare_command import tokenizer_of
from training.cli.train_flags import INDEX_TYPES
from training.config import PRESETS
from training.data.preprocess.pipeline import How, prepare_text
from varda_chat.config.defaults import GenerationSettings
from varda_chat.models.checkpoint import load_checkpoint
from varda_chat.session.session import ChatSession

ORIGINAL = ("epochs", "learning-rate", "memory-size", "memory-dim", "index-type", "num-clusters", "num-search-results",
            "use-gpu", "batch-size", "forgetfulness-factor")  # fmt: skip
ADDED = ("base-model", "preset", "dataset", "data-dir", "output-dir", "resume", "seed", "max-steps", "patience",
         "mixed-precision", "gradient-accumulation-steps", "finetune-from", "log-with")  # fmt: skip


def test_every_flag_is_there_in_both_spellings() -> None:
    spelled = {name for option in train.params if isinstance(option, click.Option) for name in option.opts}
    for name in (*ORIGINAL, *ADDED):
        assert f"--{name}" in spelled
        assert f"--{name.replace('-', '_')}" in spelled


def test_its_preset_has_the_originals_defaults() -> None:
    preset = PRESETS["ancestor"]
    assert (preset.base_model, preset.epochs, preset.learning_rate) == ("gpt2", 5, 1e-4)
    assert (preset.memory_dim, preset.dialogue_rows, preset.fact_episodes) == (768, 1, 1)
    assert preset.forgetfulness_factor == 0.001


@pytest.fixture(scope="module")
def ancestor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained by the preset, on a small model of our own making in place of gpt2."""
    base = make_base(tmp_path_factory.mktemp("gpt2"), n_positions=1024)
    text = tmp_path_factory.mktemp("prepared") / "text"
    prepare_text([source(long_texts(12))], How(tokenizer=tokenizer_of(str(base)), held_out=0.2), text)
    out = tmp_path_factory.mktemp("run") / "ancestor"
    flags = ["--preset", "ancestor", "--base_model", base, "--dataset", text, "--mixed-precision", "no", "--index_type",
             "ivf", "--warmup-steps", 2, "--no_use_gpu", "--epochs", 0.2, "--output-dir", out]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VALIDATION_EPISODES", "VALIDATION_ROWS"):
            patch.setattr(f"training.data.text_mixture.{name}", 1)  # 3,840 floats a token are slow to validate
        result = CliRunner().invoke(train, [str(each) for each in flags])
    assert result.exit_code == 0, result.output
    return out


def test_its_preset_trains_its_set_up(ancestor: Path) -> None:
    run, model = saved_config(ancestor), load_checkpoint(ancestor).model
    assert (run.learning_rate, run.dialogue_rows, run.fact_episodes) == (1e-4, 1, 1)
    config = model.config
    assert (config.memory_dim, config.num_search_results, config.n_positions) == (768, 5, 1024)
    assert (config.memory_size, config.num_clusters, config.forgetfulness_factor) == (10_000, 1024, 0.001)
    assert config.index_type == "ivf"


@pytest.mark.parametrize("index_type", INDEX_TYPES)
def test_it_chats_over_every_index_type(ancestor: Path, index_type: str, tmp_path: Path) -> None:
    directory = tmp_path / "checkpoint"
    shutil.copytree(ancestor, directory, ignore=shutil.ignore_patterns("last*"))
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"index_type": index_type}
    path.write_text(json.dumps(config), encoding="utf-8")
    with ChatSession.open(
        tmp_path / "profile", directory, generation=GenerationSettings(0.0, max_new_tokens=4)
    ) as session:
        assert session.memory.capacity == 10_000
        assert session.memory.store.reader.index_type() == index_type
        session.memory.remember("My dog is called Rimba.")
        assert session.memory.size > 0
        assert session.memory.search("What is my dog called?")
        assert session.reply("Hello").memory_size > 0


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--use-gpu"], "no GPU"),
        (["--epochs", "2", "--max-steps", "3"], "give one"),
        (["--base-model", "gpt2", "--finetune-from", "x"], "give one"),
        (["--finetune-from", "x", "--num_search_results", "3"], "checkpoint's"),
        (["--fresh-matching"], "--finetune-from"),
        (["--index-type", "tree"], "tree"),
        (["--forgetfulness-factor", "2"], "forgetfulness"),
        (["--memory-layer", "9"], "--memory-layer 9"),
    ],
)
def test_flags_against_each_other_get_one_line(flags: list[str], word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = CliRunner().invoke(train, ["--dataset", "wikitext-2", *flags])
    assert result.exit_code == 2, result.output
    assert word in result.output
    assert "Traceback" not in result.output


def test_the_flags_reach_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def note(config: object, *_: object, **more: object) -> None:
        asked["config"] = config
        asked.update(more)

    monkeypatch.setattr("training.run.build", note)
    result = CliRunner().invoke(
        train, ["--dataset", "x", "--batch-size", "3", "--fact-episodes", "2", "--memory-size", "7"]
    )
    assert result.exit_code == 0, result.output
    config = asked["config"]
    assert (config.dialogue_rows, config.fact_episodes, config.multi_session_episodes) == (3, 2, 0)  # type: ignore[attr-defined]
    assert asked["start"].overrides["memory_size"] == 7  # type: ignore[attr-defined]
    assert CliRunner().invoke(train, ["--dataset", "x", "--preset", "ancestor"]).exit_code == 0
    assert asked["epochs"] == 5
    assert asked["start"].base_model == "gpt2"  # type: ignore[attr-defined]
    assert asked["start"].overrides["memory_dim"] == 768  # type: ignore[attr-defined]
