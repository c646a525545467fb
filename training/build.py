"""From corpora to a checkpoint folder: what ``varda-train`` does between its flags and its last line."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from tokenizers import Tokenizer
from transformers import GenerationConfig

from training.base import adapt
from training.benchmark.recall import Benchmark, measure_recall
from training.calibrate import calibrate
from training.card import Making, write_card
from training.config import FUSED_GELU, PRESETS, ObjectiveWeights, TrainConfig
from training.data.reading import source_of_run
from training.data.tokenizer import save_tokenizer
from training.growth import deepened, widened, with_fresh_matching
from training.loop import Trainer
from varda_chat.errors import DataError
from varda_chat.model import VardaGPTAssociative, VardaGPTConfig
from varda_chat.model.chat_format import ChatFormat
from varda_chat.model.checkpoint import load_checkpoint


def config_of(preset: str, overrides: dict[str, Any]) -> TrainConfig:
    """The run's settings: the preset's, with what the user gave in their place (None: not given)."""
    sizes = PRESETS[preset]
    names = ("learning_rate", "max_steps", "fact_episodes", "multi_session_episodes", "dialogue_rows",
             "question_pairs", "episode_length", "row_length")  # fmt: skip
    config = TrainConfig(preset=preset, **{name: getattr(sizes, name) for name in names})
    return replace(config, **{name: value for name, value in overrides.items() if value is not None})


def saved_config(output_dir: Path) -> TrainConfig:
    """The settings of the run saved in ``output_dir``; raises DataError where there is none."""
    for name in ("last", "last.old"):
        path = output_dir / name / "run.json"
        if path.exists():
            saved = json.loads(path.read_text(encoding="utf-8"))["config"]
            saved["weights"] = ObjectiveWeights(**saved["weights"])
            for name in {"betas", "layouts", "datasets"} & saved.keys():
                saved[name] = tuple(saved[name])
            known = {field.name for field in fields(TrainConfig)}
            return TrainConfig(**{name: value for name, value in saved.items() if name in known})
    raise DataError(f"Nothing to resume in {output_dir}: it holds no saved run.")


def fresh_model(preset: str, chat: ChatFormat, overrides: dict[str, Any]) -> VardaGPTAssociative:
    """A model of the preset's size with random weights (seed torch first). No dropout: few epochs, small model."""
    given = {name: value for name, value in overrides.items() if value is not None}
    arguments = PRESETS[preset].model_arguments() | given | {"vocab_size": chat.tokenizer.get_vocab_size()}
    config = VardaGPTConfig(
        **arguments, activation_function=FUSED_GELU, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=chat.end_id, eos_token_id=chat.end_id, pad_token_id=chat.end_id,
    )  # fmt: skip
    return VardaGPTAssociative(config)


def build(
    config: TrainConfig,
    data_dir: Path | None,
    output_dir: Path,
    console: Console,
    *,
    resume: bool = False,
    finetune_from: str | None = None,
    fresh_matching: bool = False,
    base_model: str | None = None,
    epochs: float | None = None,
    model_overrides: dict[str, Any] | None = None,
    command: str = "varda-train",
    recall_facts: int = 200,
) -> Benchmark | None:
    """Train and write the checkpoint into ``output_dir``; returns what the recall check found, None where nothing was
    told (plain text). Raises VardaError with what to do about it.

    Args:
        resume: go on with the run saved in ``output_dir``; the settings must be its own (``saved_config``).
        base_model: a plain GPT-2, a folder or hub id, to adapt (``training.base``).
        finetune_from: a checkpoint whose weights and tokenizer to start with, instead of fresh ones.
        epochs: passes over the dialogues, in place of ``config.max_steps``.
        model_overrides: of the preset's sizes, for a fresh model; ``n_layer`` and ``memory_dim`` also grow one that is
            finetuned.
        command: what the model card says the run was started by.
        recall_facts: facts told, of each phrasing, in the recall check at the end.
    """
    if not resume and any((output_dir / name).exists() for name in ("last", "last.old")):
        raise DataError(f"{output_dir} holds a run: go on with it by --resume, or choose another --output-dir.")
    source = source_of_run(config, data_dir, console)
    output_dir.mkdir(parents=True, exist_ok=True)
    origin_path = output_dir / "run.json"
    torch.manual_seed(config.seed)
    if resume:
        origin = json.loads(origin_path.read_text(encoding="utf-8"))
        chat = ChatFormat(Tokenizer.from_file(str(output_dir / "tokenizer.json")))
        model = VardaGPTAssociative(VardaGPTConfig.from_pretrained(output_dir))
    else:
        origin = {"command": command, "note": ""}
        if base_model is not None:
            chat, model = adapt(base_model, model_overrides or {})
        elif finetune_from is not None:
            start = load_checkpoint(finetune_from)
            chat, model = start.chat, start.model
            overrides = model_overrides or {}
            model = deepened(model, overrides.get("n_layer") or model.config.n_layer)
            model = widened(model, overrides.get("memory_dim") or model.config.memory_dim)
            model = with_fresh_matching(model) if fresh_matching else model
        else:
            chat = ChatFormat(source.fresh_tokenizer(PRESETS[config.preset].vocab_size, config.seed))
            model = fresh_model(config.preset, chat, model_overrides or {})
        save_tokenizer(chat.tokenizer, output_dir, model.config.n_positions)
        model.config.save_pretrained(output_dir)
        origin_path.write_text(json.dumps(origin, indent=1), encoding="utf-8")
    data = source.data(config, chat)
    config = data.config
    source.check_unchanged(output_dir, resume)
    if epochs is not None and not resume:
        config = replace(config, max_steps=max(1, round(epochs * data.steps_per_epoch)))
    parameters = sum(p.numel() for p in model.parameters())
    console.print(
        f"{parameters / 1e6:.1f} M parameters; {source.documents:,} documents in {data.training_rows.rows_per_epoch:,} "
        f"rows of {config.row_length} tokens; {data.steps_per_epoch:,.0f} steps an epoch."
    )
    trainer = Trainer(model, data, config, output_dir, console)
    hardware = _hardware()
    if resume:
        trainer.resume()
    trainer.run()
    console.print("Calibrating thresholds …")
    trained = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    calibrate(trained, data)
    figures = trainer.validate()
    trainer.report_run()
    export(trained, output_dir)
    recall = None
    if data.builder is not None:
        console.print("Checking recall …")
        # on what was written, in the chat's own precision
        recall = measure_recall(load_checkpoint(output_dir), facts=recall_facts, per_person=min(5, recall_facts))
    making = Making(
        origin["command"], origin["note"], trainer.elapsed, hardware,
        source.documents, data.steps_per_epoch, source.credits(),
    )  # fmt: skip
    write_card(output_dir, trained, config, making, figures, recall)
    return recall


def _hardware() -> str:
    """The machine in words."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads()} CPU threads"


def export(model: VardaGPTAssociative, output_dir: Path) -> None:
    """Write the model itself, without the optimizer, in Hugging Face layout."""
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.5, top_p=0.9, max_new_tokens=80,
        eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id,
        bos_token_id=model.config.bos_token_id,
    )  # fmt: skip
    model.save_pretrained(output_dir)
