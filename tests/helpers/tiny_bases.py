"""Tiny base models and adapters: a Llama in Hugging Face layout and as GGUF, in a package that cannot be imported."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from varda_chat.models.bases import Base
from varda_chat.models.model_cache import sha256_of

WIDTH, HEADS, LAYERS, HIDDEN = 32, 4, 2, 64
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = [("l", "l"), ("h", "e")]


def vocabulary() -> list[str]:
    """Special tokens, the bytes as GPT-2 writes them, and one token for each merge."""
    return [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in MERGES)]


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    """A Llama of two blocks with tied embeddings, whose weights bf16 holds without loss."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary()), hidden_size=WIDTH, intermediate_size=HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(torch.bfloat16).eval()


def save_base(directory: Path, seed: int = 0) -> Base:
    """Write a tiny base in Hugging Face layout; returns it, pinned."""
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(vocabulary())}, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    tiny_llama(seed).save_pretrained(directory)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>").save_pretrained(directory)  # noqa: S106
    return Base("tiny", "r1", sha256_of(directory / "model.safetensors"))


def write_gguf(path: Path, seed: int = 0) -> None:
    """Write the tiny Llama as a GGUF file, as llama.cpp's converter does: query and key rows are interleaved."""
    from gguf import GGUFWriter

    model = tiny_llama(seed).float()
    config = model.config
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(vocabulary()))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary())
    writer.add_token_types([3 if token in SPECIAL else 1 for token in vocabulary()])
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    weights = model.state_dict()
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    parts = {
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    }  # fmt: skip
    for layer in range(LAYERS):
        names |= {f"blk.{layer}.{ours}": f"model.layers.{layer}.{theirs}" for ours, theirs in parts.items()}
    for name, source in names.items():
        tensor = weights[f"{source}.weight"]
        heads = {"q_proj": HEADS, "k_proj": config.num_key_value_heads}.get(source.rpartition(".")[2])
        if heads is not None:
            tensor = tensor.reshape(heads, 2, -1, WIDTH).swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(f"{name}.weight", tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_package(place: Path, seed: int = 0) -> Base:
    """A package ``tiny_base_package`` in ``place`` that holds the GGUF file and refuses to be imported."""
    package = place / "tiny_base_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('needs what is not installed')\n")
    write_gguf(package / "tiny.gguf", seed)
    digest = sha256_of(package / "tiny.gguf")
    return Base("tiny", "r1", digest, package="tiny-base-package", gguf_file="tiny_base_package/tiny.gguf")


def save_adapter(directory: Path, base: Base, *, rank: int = 4, alpha: int = 10, seed: int = 5) -> None:
    """Write an adapter of all query and down projections, with two memory parts, without PEFT."""
    directory.mkdir(parents=True)
    draws = torch.Generator().manual_seed(seed)
    shapes = {"self_attn.q_proj": (WIDTH, WIDTH), "mlp.down_proj": (WIDTH, HIDDEN)}
    lora = {}
    for layer in range(LAYERS):
        for module, (rows, columns) in shapes.items():
            key = f"base_model.model.model.layers.{layer}.{module}"
            lora[f"{key}.lora_A.weight"] = torch.randn(rank, columns, generator=draws)
            lora[f"{key}.lora_B.weight"] = torch.randn(rows, rank, generator=draws) / 10
    save_file(lora, directory / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "bias": "none", "fan_in_fan_out": False}
    (directory / "adapter_config.json").write_text(json.dumps(settings))
    memory = {"memory_layer.query.weight": torch.randn(8, WIDTH, generator=draws), "memory_heads.bias": torch.ones(3)}
    save_file(memory, directory / "memory.safetensors")
    config = tiny_llama().config.to_dict()
    config["base"] = {"name": base.name, "revision": base.revision, "sha256": base.sha256}
    (directory / "config.json").write_text(json.dumps(config))
