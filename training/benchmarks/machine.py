"""What a benchmark ran on: the processor, its load, and how fast it reads memory, the limit of writing tokens."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path

import faiss
import torch
import transformers

from training.benchmarks.ratios import seconds

_READ_BYTES = 512 * 2**20
"""More than any cache holds."""


@dataclass(frozen=True)
class Machine:
    """load: programs that wanted a core, for each core, when this was asked (1: as many programs as cores).
    bytes_a_second: read from RAM by torch, with its threads."""

    processor: str
    cores: int
    threads: int
    load: float
    memory_gib: float
    system: str
    versions: str
    bytes_a_second: float

    def __str__(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores ({self.threads} threads used), {self.memory_gib:.0f} GiB, "
            f"{self.system}; {self.versions}; reads {self.bytes_a_second / 1e9:.1f} GB/s; "
            f"load a core {self.load:.2f} at the start"
        )


def this_machine() -> Machine:
    """This machine, as it is now."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        load=load_a_core(),
        memory_gib=_memory() / 2**30,
        system=f"{platform.system()} {platform.machine()}",
        versions=f"Python {platform.python_version()}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}, FAISS {faiss.__version__}",
        bytes_a_second=read_bandwidth(),
    )


def load_a_core() -> float:
    return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2) if hasattr(os, "getloadavg") else 0.0


def read_bandwidth(repeats: int = 5) -> float:
    """Bytes a second of a sum over ``_READ_BYTES``: the median of ``repeats``, after one that does not count."""
    numbers = torch.ones(_READ_BYTES // 4)
    times = [seconds(numbers.sum) for _ in range(repeats + 1)][1:]
    return _READ_BYTES / statistics.median(times)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown processor")


def _memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 0.0
