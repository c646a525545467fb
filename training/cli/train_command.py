"""``varda-train``: from its flags to a run, and what it says at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from training.cli.flags import console
from training.cli.train_flags import MODEL, WITH_RESUME

LOSSES = ("retrieval", "read_out", "store", "delete", "matching")


def run_training(context: click.Context) -> None:
    """Train as the flags of ``context`` say. Raises VardaError, click.UsageError."""
    given = dict(context.params)
    _check(context, given)
    from training.checkpointing import saved_config
    from training.config import PRESETS, ObjectiveWeights
    from training.evaluation.recall.report import recall_table
    from training.metrics import check_tracker
    from training.quiet import quiet_libraries
    from training.run import Start, build, config_of

    quiet_libraries()
    _check_gpu(given["use_gpu"])
    check_tracker(given["log_with"])
    output_dir: Path = given["output_dir"]
    preset = PRESETS[given["preset"]]
    rate = given["learning_rate"]
    if given["resume"]:
        config = saved_config(output_dir)
        config = config if rate is None else replace(config, learning_rate=rate)
    else:
        weights = {name: given[f"{name}_weight"] for name in LOSSES}
        of_run = {name: value for name, value in _of_run(given).items() if value is not None}
        config = replace(
            config_of(given["preset"], of_run),
            weights=ObjectiveWeights(**{name: weight for name, weight in weights.items() if weight is not None}),
        )
    model = {name: given[name] for name in MODEL}
    fresh = given["finetune_from"] is None
    if fresh and model["forgetfulness_factor"] is None:
        model["forgetfulness_factor"] = preset.forgetfulness_factor
    if fresh and preset.base_model is not None and model["memory_dim"] is None:
        model["memory_dim"] = preset.memory_dim
    start = Start(
        base_model=given["base_model"] or (preset.base_model if fresh else None),
        finetune_from=given["finetune_from"], fresh_matching=given["fresh_matching"], overrides=model,
    )  # fmt: skip
    epochs = given["epochs"] if given["max_steps"] or given["epochs"] else preset.epochs
    out = console()
    recall = build(
        config, given["data_dir"], output_dir, out, resume=given["resume"], start=start, epochs=epochs,
        command=command_line(), recall_facts=given["recall_facts"], cpu=given["use_gpu"] is False,
    )  # fmt: skip
    if recall is None:
        out.print(f"The checkpoint is in {output_dir}. Measure it: varda-eval {output_dir} perplexity --dataset NAME")
    else:
        out.print(recall_table(recall))
        out.print(f"The checkpoint is in {output_dir}. Chat with it: varda-chat --checkpoint {output_dir}")


def _of_run(given: dict[str, Any]) -> dict[str, Any]:
    """What of the flags are settings of the run; None where not given."""
    from dataclasses import fields

    from training.config import TrainConfig

    names = {field.name for field in fields(TrainConfig)} - {"weights", "preset"}
    settings = {name: value for name, value in given.items() if name in names}
    if given["batch_size"] is not None:
        whole = {
            "dialogue_rows": given["batch_size"],
            "fact_episodes": given["batch_size"],
            "multi_session_episodes": 0,
        }
        settings |= {name: value for name, value in whole.items() if settings[name] is None}
    return settings


def _check(context: click.Context, given: dict[str, Any]) -> None:
    """Raise click.UsageError for flags that say nothing, too little, or against each other."""
    from training.config import PRESETS

    typed = {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }
    if given["resume"]:
        for name, spelled in typed.items():
            if name not in WITH_RESUME:
                raise click.UsageError(f"{spelled} cannot be given with --resume: a run resumes with its own settings.")
        return
    if given["preset"] not in PRESETS:
        raise click.UsageError(f"There is no preset {given['preset']!r}; choose one of {', '.join(PRESETS)}.")
    if given["data_dir"] is None and not given["datasets"]:
        raise click.UsageError("Give text with --dataset, or the directory of the chat corpora with --data-dir.")
    for name, other in (("base_model", "finetune_from"), ("max_steps", "epochs")):
        if name in typed and other in typed:
            raise click.UsageError(f"{typed[name]} and {typed[other]} say the same in two ways; give one.")
    if given["finetune_from"] is None and given["fresh_matching"]:
        raise click.UsageError("--fresh-matching is for --finetune-from: a new model learns it anyway.")
    if given["finetune_from"] is not None:
        for name in ("num_search_results", "memory_layer"):
            if name in typed:
                raise click.UsageError(f"{typed[name]} cannot be given with --finetune-from: it is the checkpoint's.")
    preset, layer = PRESETS[given["preset"]], given["memory_layer"]
    blocks = given["n_layer"] or preset.n_layer
    if layer is not None and given["base_model"] is None and layer > blocks:
        raise click.UsageError(f"--memory-layer {layer}: the model has {blocks} blocks.")


def _check_gpu(use_gpu: bool | None) -> None:
    import torch

    if use_gpu and not torch.cuda.is_available():
        raise click.UsageError("--use-gpu: PyTorch finds no GPU here. Without the flag, training runs on the CPU.")


def command_line() -> str:
    """The command as typed, without the names of this machine's directories."""
    import sys

    stand_ins = {"data-dir": "DATA", "output-dir": "DIR", "finetune-from": "STAGE1", "base-model": "BASE"}
    words = list(sys.argv[1:])
    for place, word in enumerate(words[:-1]):
        name = word.lstrip("-").replace("_", "-")
        if name == "base-model" and "/" not in words[place + 1]:
            continue  # a name on the hub
        if name in stand_ins:
            words[place + 1] = stand_ins[name]
        elif name == "dataset" and not words[place + 1].startswith("hub:"):
            words[place + 1] = Path(words[place + 1]).name
    return " ".join(["varda-train", *words])
