"""A plain GPT-2 becomes ours: the same at step 0, trained in stages, with a clear word where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tests.helpers.tiny_training import tiny
from training.model_init import adapt
from training.optimizer import DELETE_HEADS
from training.run import Start, build
from varda_chat.errors import CheckpointError
from varda_chat.models.checkpoint import load_checkpoint

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 in the hub's layout, tokenizer included, as ``gpt2`` lies there."""
    directory = tmp_path_factory.mktemp("base")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        ["My dog is called Rimba. What is my dog called?"] * 4,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )  # fmt: skip
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")  # noqa: S106
    fast.save_pretrained(directory)
    torch.manual_seed(0)
    size = tokenizer.get_vocab_size()
    GPT2LMHeadModel(
        GPT2Config(vocab_size=size, n_positions=256, n_embd=32, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0,
                   attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
    ).save_pretrained(directory)  # fmt: skip
    return directory


def test_at_step_0_it_is_the_base(base: Path) -> None:
    plain = GPT2LMHeadModel.from_pretrained(base).eval()
    chat, model = adapt(base, {"memory_layer": 1, "num_search_results": None})
    code = chat.encode("user", "My dog is called Rimba.")
    words = torch.tensor([code.ids[1:-1]])
    with torch.no_grad():
        ours, theirs = model.eval()(words).logits, plain(words).logits
    torch.testing.assert_close(ours[..., : theirs.shape[-1]], theirs, atol=1e-5, rtol=1e-5)
    assert model.config.memory_dim == plain.config.n_embd
    assert model.config.model_type == "varda_gpt"
    assert ours.shape[-1] == theirs.shape[-1] + 3, "three tokens of the chat"
    assert chat.decode(code.ids).strip() == "My dog is called Rimba."


@pytest.mark.slow
def test_the_memorys_parts_learn_first_then_everything_or_deletes_alone(
    base: Path, corpora: Path, tmp_path: Path
) -> None:
    def weights(frozen: int, **more: Any) -> dict[str, torch.Tensor]:
        out = tmp_path / f"{frozen}{more}"
        wanted = {"max_steps": 2, "frozen_base_steps": frozen, "save_every": 2, "validate_every": 2, **more}
        build(
            tiny(**wanted), corpora, out, QUIET,
            start=Start(base_model=str(base)), recall_facts=1,
        )  # fmt: skip
        return dict(load_checkpoint(out).model.state_dict())

    _, start = adapt(base, {})
    before, frozen, free = start.state_dict(), weights(2), weights(1)
    wte, query = "transformer.wte.weight", "memory_reader.fc_query.weight"
    torch.testing.assert_close(frozen[wte], before[wte])
    assert (frozen[query] - before[query]).abs().max() > 0
    assert (free[wte] - before[wte]).abs().max() > 0
    once, twice = (weights(0, delete_heads_only=True, max_steps=steps) for steps in (1, 2))
    changed = {name for name in once if not torch.allclose(once[name], twice[name])}
    heads = {name for name in once if name.startswith(DELETE_HEADS)}
    # calibration moves the no-match slot's similarity
    assert {"memory_heads.fc_deletable_vector.weight"} <= changed - {"memory_reader.null_score"} <= heads


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda directory: (directory / "config.json").unlink(), "config.json"),
        (lambda directory: (directory / "config.json").write_text(json.dumps({"model_type": "llama"})), "llama"),
        (lambda directory: (directory / "model.safetensors").write_bytes(b"broken"), "cannot be read"),
    ],
)
def test_what_is_no_gpt2_is_refused_in_one_line(base: Path, tmp_path: Path, change: object, word: str) -> None:
    directory = tmp_path / "copy"
    directory.mkdir()
    for file in base.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    assert callable(change)
    change(directory)
    with pytest.raises(CheckpointError, match=word) as caught:
        adapt(directory, {})
    assert "\n" not in str(caught.value)


def test_a_base_that_is_neither_here_nor_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="no folder gpt2-that-is-not-there"):
        adapt("gpt2-that-is-not-there", {})
