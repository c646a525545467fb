"""What a checkpoint's config.json may say, looked at before a model is built from it: no number in it can hang or break
the chat."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from varda_chat.config.defaults import MAX_MEMORY_SIZE
from varda_chat.errors import CheckpointError, VardaError
from varda_chat.storage.regular import check_regular, read_regular
from varda_chat.text import one_line

CONFIG, WEIGHTS, SHARDS = "config.json", "model.safetensors", "model.safetensors.index.json"
MAX_CONFIG = 2**20
MAX_TOKENIZER = 256 * 2**20
"""Bytes of the files that are read."""

_LAYERS, _WIDTH, _TOKENS, _POSITIONS = 1000, 65_536, 10_000_000, 10_000_000
_WHOLE: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("n_layer", "num_hidden_layers"), (1, _LAYERS)),
    **dict.fromkeys(("n_head", "num_attention_heads", "num_key_value_heads"), (1, _WIDTH)),
    **dict.fromkeys(("n_embd", "hidden_size", "head_dim", "memory_dim", "token_dim", "hidden_dim"), (1, _WIDTH)),
    **dict.fromkeys(("n_inner", "intermediate_size"), (1, 16 * _WIDTH)),
    **dict.fromkeys(("n_positions", "max_position_embeddings"), (1, _POSITIONS)),
    **dict.fromkeys(("memory_layer", "store_layer"), (0, _LAYERS)),
    **dict.fromkeys(("memory_size", "num_clusters"), (1, MAX_MEMORY_SIZE)),
    **dict.fromkeys(("start_token_id", "user_token_id", "assistant_token_id", "end_token_id"), (0, 2**31 - 1)),
    **dict.fromkeys(("user_header", "assistant_header"), (0, 1000)),
    **dict.fromkeys(("rerank_rank", "response_rank"), (0, _WIDTH)),
    "response_dim": (1, _WIDTH),
    "response_lines": (0, MAX_MEMORY_SIZE),
    "vocab_size": (1, _TOKENS),
    "num_search_results": (1, 1000),
}
_NUMBERS = frozenset(
    (
        "query_decay", "null_similarity", "follow_similarity", "score_scale", "delete_similarity", "delete_sharpness",
        "store_threshold", "delete_threshold", "delete_share", "admission_threshold", "forgetfulness_factor",
        "token_share", "no_match_similarity", "chain_similarity", "recall_threshold", "ask_threshold",
        "change_threshold", "other_threshold", "rerank_answer_threshold", "rerank_end_threshold",
        "rerank_forget_threshold", "request_threshold", "rerank_search_weight", "response_threshold",
    )
)  # fmt: skip
_MAY_BE_NONE = frozenset(
    ("n_inner", "memory_layer", "store_layer", "num_key_value_heads", "head_dim", "admission_token_id")
)
_SHAPES: dict[str, tuple[tuple[str, int], ...]] = {
    "vocab_size": (("transformer.wte.weight", 0), ("model.embed_tokens.weight", 0)),
    "n_positions": (("transformer.wpe.weight", 0),),
    "n_embd": (("transformer.wte.weight", 1),),
    "hidden_size": (("model.embed_tokens.weight", 1),),
    "n_inner": (("transformer.h.0.mlp.c_fc.weight", 1),),
    "intermediate_size": (("model.layers.0.mlp.gate_proj.weight", 0),),
}
"""Sizes that the weights have too: in which tensor, along which axis."""
_BLOCK = re.compile(r"(?:transformer\.h|model\.layers)\.(\d+)\.")


def checked_config(directory: Path) -> dict[str, Any]:
    """The configuration of the checkpoint in ``directory``. Raises CheckpointError, naming file and field, for what it
    cannot say; OSError where there is none."""
    path = directory / CONFIG
    try:
        _check_files(directory)
        found = json.loads(read_regular(path, MAX_CONFIG))
    except RecursionError:
        raise _unreadable(directory, f"{CONFIG} is nested too deeply.") from None
    except ValueError as error:
        raise _unreadable(directory, f"{CONFIG} is not JSON ({one_line(str(error))}).") from error
    except VardaError as error:
        raise _unreadable(directory, str(error)) from error
    if not isinstance(found, dict):
        raise _unreadable(directory, f"{CONFIG} holds no JSON object.")
    nested = found.get("memory")
    for part, prefix in ((found, ""), (nested if isinstance(nested, dict) else {}, "memory.")):
        for name, value in part.items():
            wanted = _wanted(name, value, found)
            if wanted:
                shown = one_line(repr(value) if not isinstance(value, dict | list) else type(value).__name__, 40)
                raise _unreadable(directory, f"{CONFIG}: {prefix}{name} is {shown}; it must be {wanted}.")
    return found


def check_weights(directory: Path, config: Mapping[str, Any]) -> None:
    """Compare the weights in ``directory`` with ``config``, before a model of another size is built.

    Raises CheckpointError where they differ or there are no safetensors; what safetensors raises for a damaged file.
    """
    path = directory / WEIGHTS
    if not path.exists():
        if (directory / SHARDS).exists():
            return
        raise _unreadable(directory, f"it has no {WEIGHTS}, and weights of other kinds are not read.")
    from safetensors import safe_open

    with safe_open(path, framework="pt") as weights:
        names = set(weights.keys())
        blocks = {int(match[1]) for match in map(_BLOCK.match, names) if match}
        for field in ("n_layer", "num_hidden_layers"):
            if blocks and field in config and config[field] != len(blocks):
                raise _unreadable(
                    directory, f"{CONFIG}: {field} is {config[field]}, but {WEIGHTS} has {len(blocks)} layers."
                )
        for field, places in _SHAPES.items():
            for name, axis in places:
                if config.get(field) is None or name not in names:
                    continue
                shape = weights.get_slice(name).get_shape()
                if axis < len(shape) and shape[axis] != config[field]:
                    raise _unreadable(
                        directory, f"{CONFIG}: {field} is {config[field]}, but {name} in {WEIGHTS} has {shape[axis]}."
                    )


def _wanted(name: str, value: object, config: Mapping[str, Any]) -> str:
    """What the field must be that is not so, "" where it may be as it is."""
    if value is None and name in _MAY_BE_NONE:
        return ""
    if name == "admission_token_id":
        vocabulary = config.get("vocab_size")
        most = vocabulary - 1 if type(vocabulary) is int else _TOKENS
        return "" if _is_whole(value, 0, most) else f"a token of the model, 0 to {most}"
    if name in _WHOLE:
        least, most = _WHOLE[name]
        return "" if _is_whole(value, least, most) else f"a whole number from {least} to {most}"
    if name in _NUMBERS:
        return "" if _is_finite(value) else "a finite number"
    return ""


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_finite(value: object) -> bool:
    # a whole number may be too large for a float
    return (type(value) is float and math.isfinite(value)) or _is_whole(value, -(10**9), 10**9)


def _check_files(directory: Path) -> None:
    """Raise VardaError where a file of the checkpoint is a pipe or a device, or longer than any of ours."""
    for path in directory.iterdir():
        if path.suffix in (".json", ".safetensors", ".jinja", ".txt"):
            check_regular(path)
    tokenizer = directory / "tokenizer.json"
    if tokenizer.exists() and tokenizer.stat().st_size > MAX_TOKENIZER:
        raise VardaError(f"{tokenizer} is larger than {MAX_TOKENIZER:,} bytes.")


def _unreadable(directory: Path, why: str) -> CheckpointError:
    return CheckpointError(f"The checkpoint in {directory} cannot be read: {why}")
