"""From a pretrained base to a model with an untrained memory, and from a trained one to an adapter directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from varda_chat.errors import CheckpointError
from varda_chat.models.adapters import LORA, LORA_CONFIG, MEMORY
from varda_chat.models.bases import SMOLLM2, resolve_base
from varda_chat.models.chat_format import ChatFormat, chat_format_of
from varda_chat.models.linear_maps import widen
from varda_chat.models.llama import VardaLlamaAssociative, VardaLlamaConfig

MEMORY_PARTS = ("memory_layer.", "memory_heads.", "reranker.", "response_selector.")
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def with_memory(base: Path, memory: dict[str, Any] | None = None) -> tuple[ChatFormat, VardaLlamaAssociative]:
    """The base in directory ``base`` with memory parts at their initial values: frozen bf16 layers, float32 parts.
    Raises CheckpointError where its architecture is not one that can carry the memory."""
    config = AutoConfig.from_pretrained(base)
    if config.model_type != "llama":
        raise CheckpointError(f"The base model in {base} is a {config.model_type!r} model; a Llama is needed.")
    chat = chat_format_of(Tokenizer.from_file(str(base / "tokenizer.json")))
    start = chat.headers["user"][0]
    settings = {
        "start_token_id": start, "user_token_id": chat.user_id, "assistant_token_id": chat.assistant_id,
        "end_token_id": chat.end_id, "user_header": len(chat.headers["user"]),
        "assistant_header": len(chat.headers["assistant"]), **(memory or {}),
    }  # fmt: skip
    values = config.to_dict()
    for name in ("model_type", "architectures", "transformers_version", "dtype", "_name_or_path"):
        values.pop(name, None)
    model = VardaLlamaAssociative(VardaLlamaConfig(**values, memory=settings))
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model.to(torch.bfloat16)
    lost = model.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    if lost:
        raise CheckpointError(f"The base model in {base} has weights that are not used ({lost[0]}).")
    model.tie_weights()
    widen(model)
    model.memory_layer.float()
    model.memory_heads.float()
    with torch.no_grad():  # bf16 rounded the initial values
        for module in model.modules():
            if module in (model.memory_layer, model.memory_heads):
                model._init_weights(module)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(MEMORY_PARTS) and ".feature_" not in name)
    return chat, model


def add_lora(model: nn.Module, rank: int, alpha: int) -> None:
    """Put trainable LoRA weights on every linear map of every layer (PEFT's, in place)."""
    from peft import LoraConfig, inject_adapter_in_model

    targets = rf"model\.layers\.\d+\..*\.({'|'.join(LORA_TARGETS)})"
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0), model)
    for name, parameter in model.named_parameters():
        is_lora = ".lora_" in name
        parameter.requires_grad_(is_lora or name in trainable)
        if is_lora:
            parameter.data = parameter.data.float()


def layer_of(name: str) -> int:
    """The number of the layer that a LoRA weight called ``name`` belongs to."""
    return int(name.partition(".layers.")[2].partition(".")[0])


def lora_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """LoRA weights by PEFT's names."""
    return {
        "base_model.model." + name.replace(".default.", "."): parameter.detach()
        for name, parameter in model.named_parameters()
        if ".lora_" in name
    }


def memory_state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if name.startswith(MEMORY_PARTS)}


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``state``, its matrices in half precision."""
    return {name: (tensor.half() if tensor.ndim > 1 else tensor).contiguous() for name, tensor in state.items()}


def save_adapter(model: VardaLlamaAssociative, output: Path, *, base: dict[str, str], small: bool = True) -> None:
    """Write the adapter directory: config naming its base, memory parts, LoRA (``small``: LoRA in bf16, the memory's
    matrices in half precision)."""
    output.mkdir(parents=True, exist_ok=True)
    memory = memory_state(model)
    save_file(halved(memory) if small else {k: v.contiguous() for k, v in memory.items()}, str(output / MEMORY))
    save_lora(model, output, base_name=base["name"], small=small)
    config = model.config.to_dict() | {"base": base, "architectures": ["VardaLlamaAssociative"]}
    config["model_type"] = model.config.model_type
    config["memory"] = model.config.memory.to_dict()
    (output / "config.json").write_text(json.dumps(config, indent=1, default=str), encoding="utf-8")


def refuse_itself(source: Path, output: Path) -> None:
    """Raise CheckpointError where the adapter in ``source`` cannot be rewritten to ``output``: it would be written into
    itself. To be asked before anything is learned."""
    if output.resolve().is_relative_to(source.resolve()):
        raise CheckpointError(f"The adapter in {source} would be written into itself; choose another --output-dir.")


def rewrite_adapter(source: Path, output: Path, weights: dict[str, torch.Tensor], settings: dict[str, Any]) -> None:
    """Write to ``output`` the adapter in ``source``, with these ``weights`` among its memory parts, their matrices in
    half precision, and these ``settings`` of its memory."""
    shutil.copytree(source, output, dirs_exist_ok=True)
    save_file(load_file(source / MEMORY) | halved(weights), str(output / MEMORY))
    config = json.loads((source / "config.json").read_text("utf-8"))
    config["memory"] |= settings
    (output / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def rewrite_lora(source: Path, output: Path, model: nn.Module, base_name: str) -> None:
    """Write to ``output`` the adapter in ``source`` with the LoRA weights of ``model``, in bf16."""
    shutil.copytree(source, output, dirs_exist_ok=True)
    save_lora(model, output, base_name=base_name, small=True)


def save_lora(model: nn.Module, output: Path, *, base_name: str, small: bool = False) -> None:
    """Write the LoRA weights of ``model``, if it has any, in PEFT's layout (``small``: in bf16)."""
    lora = {k: (v.bfloat16() if small else v).contiguous() for k, v in lora_state(model).items()}
    if not lora:
        return
    save_file(lora, str(output / LORA), metadata={"format": "pt"})
    one: Any = next(module for module in model.modules() if hasattr(module, "lora_A"))
    layers = sorted({layer_of(name) for name in lora})
    lora_config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": one.r["default"],
        "lora_alpha": one.lora_alpha["default"], "lora_dropout": 0.0, "bias": "none",
        "target_modules": list(LORA_TARGETS), "layers_to_transform": layers,
        "base_model_name_or_path": base_name,
    }  # fmt: skip
    (output / LORA_CONFIG).write_text(json.dumps(lora_config, indent=1), encoding="utf-8")


def load_lora(model: nn.Module, source: Path) -> None:
    """Put the LoRA weights of an adapter directory into ``model``, where LoRA has been added and the file is there."""
    own = dict(model.named_parameters())
    if (source / LORA).exists():
        for name, tensor in load_file(source / LORA).items():
            plain = name.removeprefix("base_model.model.").replace(".weight", ".default.weight")
            if plain in own:
                own[plain].data.copy_(tensor.to(own[plain].dtype))


def load_adapter(model: VardaLlamaAssociative, source: Path) -> None:
    """Put the weights of an adapter directory into ``model``, LoRA where it has been added and is there."""
    state = load_file(source / MEMORY)
    missing = [k for k in memory_state(model) if k not in state]
    if missing:
        raise CheckpointError(f"The adapter in {source} lacks weights ({missing[0]}).")
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    state = {name: tensor for name, tensor in state.items() if shapes.get(name) == tensor.shape}
    model.load_state_dict(state, strict=False)
    load_lora(model, source)


def load_to_train(
    adapter: Path, base: Path | None, say: Callable[[str], None]
) -> tuple[ChatFormat, VardaLlamaAssociative, dict[str, str]]:
    """The model of an adapter directory with its LoRA weights apart, as they are trained, and its config's record of
    the base. ``base``: the base's directory, None to find it."""
    chat, model = with_memory(resolve_base(SMOLLM2, base, say))
    known = json.loads((adapter / LORA_CONFIG).read_text(encoding="utf-8"))
    add_lora(model, known["r"], known["lora_alpha"])
    load_adapter(model, adapter)
    record: dict[str, str] = json.loads((adapter / "config.json").read_text(encoding="utf-8"))["base"]
    return chat, model, record


def merged(model: VardaLlamaAssociative) -> VardaLlamaAssociative:
    """A plain model with the LoRA weights merged into bf16 layers; ``model`` stays as it is."""
    plain = VardaLlamaAssociative(model.config).to(torch.bfloat16)
    plain.memory_layer.float()
    plain.memory_heads.float()
    for part in (plain.reranker, plain.response_selector):
        if part is not None:
            part.float()
    state: dict[str, torch.Tensor] = {}
    lora: dict[str, dict[str, torch.Tensor]] = {}
    scaling: dict[str, float] = {}
    for name, module in model.named_modules():
        if hasattr(module, "lora_A") and "default" in getattr(module, "lora_A", {}):
            scaling[name] = float(module.scaling["default"])
    for name, tensor in model.state_dict().items():
        if ".lora_" in name:
            owner, _, which = name.partition(".lora_")
            lora.setdefault(owner, {})[which[0]] = tensor
        else:
            state[name.replace(".base_layer.", ".")] = tensor
    for owner, parts in lora.items():
        key = f"{owner}.weight"
        state[key] = (state[key].float() + scaling[owner] * (parts["B"].float() @ parts["A"].float())).bfloat16()
    plain.load_state_dict(state)
    plain.tie_weights()
    return plain.eval()
