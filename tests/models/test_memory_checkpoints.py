"""Checkpoints of decoders with a memory layer, loaded as the chat loads them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_chatml import chatml_tokenizer, memory_settings, with_template
from tests.helpers.tiny_decoders import KINDS, decoder_settings
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.checkpoint import fingerprint_of_file, load_checkpoint

CHAT = ChatMLFormat(chatml_tokenizer())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_a_checkpoint_of_either_form_is_loaded(kind: str, tied: bool, tmp_path: Path) -> None:
    _, _, config_class, model_class = KINDS[kind]
    settings = decoder_settings() | {
        "vocab_size": CHAT.tokenizer.get_vocab_size(), "tie_word_embeddings": tied,
        "eos_token_id": CHAT.end_id, "pad_token_id": CHAT.end_id,
    }  # fmt: skip
    torch.manual_seed(0)
    model = model_class(config_class(**settings, memory=memory_settings(CHAT))).to(torch.bfloat16)
    model.memory_layer.float()
    model.memory_heads.float()
    model.save_pretrained(tmp_path)
    with_template(CHAT.tokenizer).save_pretrained(tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert isinstance(loaded.model, model_class)
    assert isinstance(loaded.chat, ChatMLFormat)
    assert loaded.fingerprint == fingerprint_of_file(tmp_path)
    assert loaded.model.lm_head.weight.dtype == torch.bfloat16
    state = model.state_dict()
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, state[name]), name
