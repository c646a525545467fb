"""AdapterConfig: the settings of a run that trains an adapter's memory."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AdapterConfig:
    """Settings of a run.

    line_steps, line_batch, line_rate: of the first stage, on ``real_lines`` real lines and those that are drawn.
    memory_steps: of stores, searches and intents, on the sessions of ``read_people`` people that are read once, of
    ``memory_people`` and ``lines`` lines each. decision_steps: of what is decided at the end of a line, on the same.
    reading_steps: of what a reply reads, of ``people`` people each. speech_steps: of LoRA above the memory alone, on
    the same. sessions, length: people have so many sessions of so many tokens. The rates: of the two statement maps,
    single numbers, the memory's other parts, LoRA above the memory while reading is learned, and after that.
    distractors: most vectors of other people beside a person's own, out of the last ``ring``. talkative: how much is
    said between facts, 1 for as much as is told. weights: of the loss terms.
    """

    people: int = 2
    sessions: int = 2
    length: int = 448
    lines: int = 384
    real_lines: int = 9000
    line_steps: int = 1200
    line_batch: int = 768
    line_rate: float = 1e-3
    read_people: int = 320
    memory_people: int = 7
    memory_steps: int = 260
    decision_steps: int = 260
    reading_steps: int = 60
    speech_steps: int = 300
    warmup_steps: int = 10
    memory_rate: float = 1e-3
    address_rate: float = 1e-4
    scalar_rate: float = 1e-2
    lora_rate: float = 2e-4
    speech_rate: float = 8e-4
    weight_decay: float = 0.02
    clip: float = 1.0
    distractors: int = 1024
    ring: int = 6144
    seed: int = 1
    save_every: int = 50
    talkative: float = 2.5
    weights: dict[str, float] = field(
        default_factory=lambda: {
            "address": 1.0, "value": 0.7, "store": 1.0, "intent": 0.5, "delete": 1.0, "distil": 0.5, "pairs": 0.7,
            "quiet": 0.5, "speech": 1.0,
        }
    )  # fmt: skip
