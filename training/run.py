"""From corpora to a checkpoint directory: what ``varda-train`` does between its flags and its last line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from tokenizers import Tokenizer
from transformers import GenerationConfig

from training.calibration import calibrate
from training.checkpointing import has_run
from training.config import FUSED_GELU, PRESETS, TrainConfig
from training.curves import draw_curves
from training.data.preprocess.tokenizer import save_tokenizer
from training.data.run_source import RunSource, check_unchanged, source_of_run
from training.display import validation_table
from training.evaluation.recall.benchmark import Benchmark, measure_recall
from training.growth import deepened, widened, with_fresh_matching
from training.launch import launch_notices, make_accelerator
from training.model_card import Making, write_card
from training.model_init import adapt
from training.trainer import Trainer
from training.validation import validate
from varda_chat.errors import DataError
from varda_chat.models import VardaGPTAssociative, VardaGPTConfig
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.checkpoint import load_checkpoint

ORIGIN = "run.json"
"""In the output directory: how the run was started."""
OF_MEMORY = ("memory_size", "index_type", "num_clusters", "forgetfulness_factor")
"""Settings of a chat's memory that a checkpoint keeps."""


def config_of(preset: str, overrides: dict[str, Any]) -> TrainConfig:
    """The run's settings: the preset's, with what the user gave in their place (None: not given)."""
    sizes = PRESETS[preset]
    names = ("learning_rate", "max_steps", "fact_episodes", "multi_session_episodes", "dialogue_rows",
             "question_pairs", "episode_length", "row_length")  # fmt: skip
    config = TrainConfig(preset=preset, **{name: getattr(sizes, name) for name in names})
    return replace(config, **{name: value for name, value in overrides.items() if value is not None})


def fresh_model(preset: str, chat: ChatFormat, overrides: dict[str, Any]) -> VardaGPTAssociative:
    """A model of the preset's size with random weights (seed torch first). No dropout: few epochs, small model."""
    given = {name: value for name, value in overrides.items() if value is not None}
    arguments = PRESETS[preset].model_arguments() | given | {"vocab_size": chat.tokenizer.get_vocab_size()}
    config = VardaGPTConfig(
        **arguments, activation_function=FUSED_GELU, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=chat.end_id, eos_token_id=chat.end_id, pad_token_id=chat.end_id,
    )  # fmt: skip
    return VardaGPTAssociative(config)


@dataclass(frozen=True)
class Start:
    """What a new run starts with: a fresh model, or a plain GPT-2 to adapt (``base_model``), or a checkpoint whose
    weights and tokenizer to start from (``finetune_from``; ``fresh_matching``: but for what is learned again).

    overrides: of the model's configuration, None where not given; of a checkpoint, ``n_layer`` and ``memory_dim`` make
    it grow.
    """

    base_model: str | None = None
    finetune_from: str | None = None
    fresh_matching: bool = False
    overrides: dict[str, Any] = field(default_factory=dict)


def build(
    config: TrainConfig,
    data_dir: Path | None,
    output_dir: Path,
    console: Console,
    *,
    resume: bool = False,
    start: Start | None = None,
    epochs: float | None = None,
    command: str = "varda-train",
    recall_facts: int = 200,
    cpu: bool = False,
) -> Benchmark | None:
    """Train and write the checkpoint into ``output_dir``; returns what the recall check found, None where nothing was
    told (plain text), and in all processes but the first. Raises VardaError with what to do about it.

    Args:
        resume: continue the run saved in ``output_dir``; the settings must be its own (``saved_config``).
        epochs: passes over the dialogues, in place of ``config.max_steps``.
        command: what the model card says the run was started by.
        recall_facts: facts told, of each phrasing, in the recall check at the end.
        cpu: leave GPUs alone.
    """
    if not resume and has_run(output_dir):
        raise DataError(f"{output_dir} holds a run: resume it by --resume, or choose another --output-dir.")
    accelerator = make_accelerator(config, output_dir, cpu=cpu)
    first = accelerator.is_main_process
    if not first:
        console = Console(quiet=True)
    for line in launch_notices(accelerator, config):
        console.print(line, markup=False)
    config = replace(config, mixed_precision=accelerator.mixed_precision)
    source = source_of_run(config, data_dir, console)
    torch.manual_seed(config.seed)
    if first and not resume:
        output_dir.mkdir(parents=True, exist_ok=True)
        chat, model = _begun(config, source, start or Start())
        save_tokenizer(chat.tokenizer, output_dir, model.config.n_positions)
        model.config.save_pretrained(output_dir)
        (output_dir / ORIGIN).write_text(json.dumps({"command": command, "note": ""}, indent=1), encoding="utf-8")
    accelerator.wait_for_everyone()
    if resume or not first:
        # of its weights, those of the save, or the first process'
        chat = ChatFormat(Tokenizer.from_file(str(output_dir / "tokenizer.json")))
        model = VardaGPTAssociative(VardaGPTConfig.from_pretrained(output_dir))
    config = _fitting(config, model.config.n_positions)
    data = source.data(config, chat)
    config = data.config
    if first:
        check_unchanged(source, output_dir, resume)
    if epochs is not None and not resume:
        config = replace(config, max_steps=max(1, round(epochs * data.steps_per_epoch)))
    console.print(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters; {source.documents:,} documents in "
        f"{data.training_rows.rows_per_epoch:,} rows of {config.row_length} tokens; {data.steps_per_epoch:,.0f} steps "
        "an epoch."
    )
    trainer = Trainer(model, data, config, output_dir, console, accelerator)
    if resume:
        trainer.resume()
    trainer.run()
    trained = accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    recall = _finished(trainer, trained, source, recall_facts) if first else None
    accelerator.end_training()
    return recall


def _fitting(config: TrainConfig, n_positions: int) -> TrainConfig:
    """``config`` with rows and sessions no longer than the model reads."""
    longest_session = n_positions * min(config.layouts)
    return replace(
        config,
        row_length=min(config.row_length, n_positions),
        episode_length=min(config.episode_length, longest_session),
    )


def _begun(config: TrainConfig, source: RunSource, start: Start) -> tuple[ChatFormat, VardaGPTAssociative]:
    """Chat format and model of a new run."""
    overrides = start.overrides
    if start.base_model is not None:
        return adapt(start.base_model, overrides)
    if start.finetune_from is not None:
        checkpoint = load_checkpoint(start.finetune_from)
        model = deepened(checkpoint.model, overrides.get("n_layer") or checkpoint.model.config.n_layer)
        model = widened(model, overrides.get("memory_dim") or model.config.memory_dim)
        model.config.update({name: overrides[name] for name in OF_MEMORY if overrides.get(name) is not None})
        return checkpoint.chat, with_fresh_matching(model) if start.fresh_matching else model
    chat = ChatFormat(source.fresh_tokenizer(PRESETS[config.preset].vocab_size, config.seed))
    return chat, fresh_model(config.preset, chat, overrides)


def _finished(trainer: Trainer, trained: VardaGPTAssociative, source: RunSource, recall_facts: int) -> Benchmark | None:
    """Calibrate and measure what was trained, and write it with its card."""
    console, data, output_dir = trainer.console, trainer.data, trainer.output_dir
    console.print("Calibrating thresholds …")
    calibrate(trained, data)
    figures = validate(trained, data, trainer.config, trainer.accelerator)
    console.print(validation_table(trainer.metrics.validations()))
    undrawn = draw_curves(trainer.metrics.records(), output_dir)
    if undrawn is not None:
        console.print(undrawn, markup=False)
    export(trained, output_dir)
    recall = None
    if data.builder is not None:
        console.print("Checking recall …")
        # on what was written, in the chat's own precision
        recall = measure_recall(load_checkpoint(output_dir), facts=recall_facts, per_person=min(5, recall_facts))
    origin = json.loads((output_dir / ORIGIN).read_text(encoding="utf-8"))
    making = Making(
        origin["command"], origin["note"], trainer.elapsed, _hardware(trainer.accelerator),
        source.documents, trainer.step, data.steps_per_epoch, source.credits(),
    )  # fmt: skip
    write_card(output_dir, trained, trainer.config, making, figures, recall)
    return recall


def _hardware(accelerator: Accelerator) -> str:
    """What the run was computed on, in words."""
    if accelerator.device.type == "cuda":
        return f"{accelerator.num_processes} x {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads() * accelerator.num_processes} CPU threads"


def export(model: VardaGPTAssociative, output_dir: Path) -> None:
    """Write the model itself, without the optimizer, in Hugging Face layout."""
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.5, top_p=0.9, max_new_tokens=80,
        eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id,
        bos_token_id=model.config.bos_token_id,
    )  # fmt: skip
    model.save_pretrained(output_dir)
