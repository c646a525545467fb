"""Lets transformers' Auto classes know our models after ``import varda_chat``, which itself loads neither."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

AUTO = "transformers.models.auto.configuration_auto"
"""The module of AutoConfig, which every Auto class asks first."""
MODULES = ("varda_chat.model.modeling", "varda_chat.model.llama", "varda_chat.model.qwen2")
"""Importing them registers our models."""


def register_when_needed() -> None:
    """Register our models when a configuration is first loaded by AutoConfig, and not before."""
    if AUTO in sys.modules:
        _watch(sys.modules[AUTO])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _watch(module: ModuleType) -> None:
    """Let AutoConfig's first ``from_pretrained`` register. (To import our models while transformers is being imported
    would go in a circle.)"""
    auto: Any = module.AutoConfig
    original = auto.__dict__["from_pretrained"]

    def first(cls: Any, *args: Any, **kwargs: Any) -> Any:
        auto.from_pretrained = original
        for module in MODULES:
            importlib.import_module(module)

        return cls.from_pretrained(*args, **kwargs)

    auto.from_pretrained = classmethod(first)


class _Finder(MetaPathFinder):
    """Waits for AUTO to be imported, once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != AUTO:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Loads AUTO as ``loader`` does, and then watches it."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _watch(module)
