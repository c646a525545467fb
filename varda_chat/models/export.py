"""A checkpoint that loads without varda-chat: a copy with the code of its model, for ``trust_remote_code=True``.

The modules of ``varda_chat.models`` that the model is made of are copied with relative imports, and ``auto_map`` in the
configuration names its classes, as transformers' Auto classes expect of code in a checkpoint.
"""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from varda_chat.errors import CheckpointError
from varda_chat.models.adapters import KNOWN_REPLIES
from varda_chat.storage.regular import read_regular

_CLASSES = {
    "varda_gpt": ("configuration.VardaGPTConfig", "modeling.VardaGPTAssociative"),
    "varda_llama": ("llama.VardaLlamaConfig", "llama.VardaLlamaAssociative"),
    "varda_qwen2": ("qwen2.VardaQwenConfig", "qwen2.VardaQwenAssociative"),
    "varda_qwen3": ("qwen3.VardaQwen3Config", "qwen3.VardaQwen3Associative"),
}
"""Of each model_type: what AutoConfig and AutoModelForCausalLM make."""
_NAMES = {"gpt2": "modeling", "gpt2_configuration": "configuration", "configuration": "memory_config"}
"""What modules of ours are called in a checkpoint, where that is another name: what ``auto_map`` says stays."""
_IMPORT = re.compile(r"^(\s*)from varda_chat\.models\.(\w+) import", re.MULTILINE)
_OTHER_IMPORT = re.compile(r"^\s*(?:from|import) varda_chat\b.*$", re.MULTILINE)
_REGISTRATION = re.compile(r"^Auto\w+\.register\(.*\)\n", re.MULTILINE)
_COPIED = ("*.safetensors", "*.json", KNOWN_REPLIES, "*.jinja", "README.md", "LICENSE*")
_MAX_CONFIG = 2**20


def export(checkpoint: Path, target: Path) -> tuple[str, ...]:
    """Write the complete ``checkpoint`` and its code into the directory ``target``; returns the files' names.

    Raises CheckpointError where it is none of ours or ``target`` holds something, OSError.
    """
    config: dict[str, Any] = json.loads(read_regular(checkpoint / "config.json", _MAX_CONFIG))
    if config.get("model_type") not in _CLASSES:
        raise CheckpointError(f"{checkpoint} holds no model of ours.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} is not an empty directory; choose another to export to.")
    of_config, of_model = _CLASSES[config["model_type"]]
    config["auto_map"] = {"AutoConfig": of_config, "AutoModelForCausalLM": of_model}
    code = code_of(_module_of(of_model))
    target.mkdir(parents=True, exist_ok=True)
    for pattern in _COPIED:
        for file in checkpoint.glob(pattern):
            shutil.copyfile(file, target / file.name)
    for name, source in code.items():
        (target / name).write_text(source, "utf-8")
    (target / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    return tuple(sorted(each.name for each in target.iterdir()))


def code_of(module: str) -> dict[str, str]:
    """The files of ``varda_chat.models.<module>`` and of all that it imports there, by name, each importing the others
    relatively and registering nothing."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if _file_of(name) in found:
            continue
        spec = find_spec(f"varda_chat.models.{name}")
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text("utf-8")
        waiting += [each[2] for each in _IMPORT.finditer(source)]
        source = _REGISTRATION.sub("", _IMPORT.sub(_relative, source))
        if other := _OTHER_IMPORT.search(source):
            raise CheckpointError(f"The code of the model cannot stand alone: {other[0].strip()}.")
        found[_file_of(name)] = source
    return found


def _file_of(module: str) -> str:
    return f"{_NAMES.get(module, module)}.py"


def _module_of(named: str) -> str:
    """The module of ours that an entry of ``auto_map`` comes from."""
    file = named.partition(".")[0]
    return next((ours for ours, theirs in _NAMES.items() if theirs == file), file)


def _relative(found: re.Match[str]) -> str:
    return f"{found[1]}from .{_NAMES.get(found[2], found[2])} import"
