"""A tiny plain GPT-2 with a tokenizer, as a directory of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from tests.helpers.texts import prose
from training.data.preprocess.tokenizer import train_tokenizer


def make_base(directory: Path, n_positions: int = 128) -> Path:
    """A plain GPT-2 as ``gpt2`` lies on the hub: vocab.json and merges.txt beside the weights."""
    model = json.loads(train_tokenizer([prose(n) for n in range(40)], 400).to_str())["model"]
    vocab = {"<|endoftext|>" if word == "<|end|>" else word: n for word, n in model["vocab"].items()}
    (directory / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    (directory / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    GPT2Tokenizer(str(directory / "vocab.json"), str(directory / "merges.txt"))  # it is one
    torch.manual_seed(0)
    end = vocab["<|endoftext|>"]
    GPT2LMHeadModel(
        GPT2Config(vocab_size=400, n_positions=n_positions, n_embd=32, n_layer=2, n_head=2, resid_pdrop=0.0,
                   embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=end, eos_token_id=end)
    ).save_pretrained(directory)  # fmt: skip
    return directory
