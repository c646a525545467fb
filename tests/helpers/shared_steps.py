"""What each process of ``test_processes`` does: gradients of some batches, which the first writes; then a whole run."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from rich.console import Console
from safetensors.torch import save_file
from tokenizers import Tokenizer

from training.config import TrainConfig
from training.data.mixture import load_dialogues, prepare
from training.run import build, config_of, fresh_model
from training.trainer import Trainer
from varda_chat.models.chat_format import ChatFormat

STEPS = 6


def settings() -> TrainConfig:
    """Odd numbers of rows, episodes and pairs: processes do not get the same share."""
    return config_of("nano", {"max_steps": STEPS, "warmup_steps": 2, "fact_episodes": 2, "multi_session_episodes": 1,
                              "dialogue_rows": 3, "question_pairs": 13, "mixed_precision": "no", "save_every": 2,
                              "validate_every": 4, "gradient_accumulation_steps": 2})  # fmt: skip


def gradients(corpora: Path, out: Path, tokenizer: Path) -> None:
    """Gradients of STEPS steps from the same weights; what other memories hold grows from one to the next."""
    config = settings()
    chat = ChatFormat(Tokenizer.from_file(str(tokenizer)))
    torch.manual_seed(0)
    model = fresh_model("nano", chat, {"n_positions": 256})
    trainer = Trainer(model, prepare(config, chat, *load_dialogues(corpora)), config, out, Console(quiet=True))
    trainer.model.train()
    for trainer.step in range(STEPS):
        terms = trainer.gradients_of_step()
        found = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
        found["terms"] = torch.tensor(list(terms.values()))
        if trainer.accelerator.is_main_process:
            save_file(found, str(out / f"{trainer.step}.safetensors"))
        trainer.optimizer.zero_grad()
    trainer.accelerator.wait_for_everyone()


if __name__ == "__main__":
    corpora, out, tokenizer = map(Path, sys.argv[1:4])
    gradients(corpora, out, tokenizer)
    build(settings(), corpora, out / "run", Console(), recall_facts=1, command="two")
