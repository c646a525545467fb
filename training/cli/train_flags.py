"""The flags of ``varda-train``, in the order in which its help shows them."""

from __future__ import annotations

from pathlib import Path

import click

from training.cli.flags import directory, flag

INDEX_TYPES = ("flat", "ivf", "compressed", "graph")
"""As ``varda_chat.memory.index.registry`` has them, which loads FAISS."""

_COUNT = click.IntRange(min=1)
_SOME = click.IntRange(min=0)
_RATE = click.FloatRange(min=0, min_open=True)
_WEIGHT = click.FloatRange(min=0)
_SHARE = click.FloatRange(0, 1)

TEXT = (
    flag("dataset", "datasets", multiple=True, metavar="NAME|PATH",
         help="Train on this instead of the chat corpora: a corpus, your files, or prepared text. May be repeated."),
    flag("data-dir", **directory(), help="Directory of the corpora (NAME.jsonl.xz)."),
    flag("output-dir", **directory(default=Path("runs/model")), help="Where the checkpoint goes."),
)  # fmt: skip

START = (
    flag("preset", default="mini",
         help="Size of the fresh model: nano, micro, mini or small; or ancestor, the original's set-up on gpt2."),
    flag("base-model", default=None, metavar="MODEL",
         help="Adapt this plain GPT-2: gpt2, distilgpt2, ..., or a directory."),
    flag("finetune-from", default=None, metavar="CHECKPOINT",
         help="Start with this checkpoint's weights and tokenizer."),
    flag("fresh-matching", is_flag=True, help="With --finetune-from: learn again what is stored and asked for."),
    flag("resume", is_flag=True, help="Resume the run saved in --output-dir, with its settings."),
)  # fmt: skip

SIZES = (
    flag("n-layer", type=_COUNT, default=None, help="Blocks. [default: the preset's]"),
    flag("memory-dim", type=_COUNT, default=None, help="Floats in a stored vector. [default: the preset's]"),
    flag("memory-layer", type=_SOME, default=None, help="Blocks before the memory is read. [default: half]"),
    flag("num-search-results", type=_COUNT, default=None, help="Results read at every token. [default: 5]"),
)

MEMORY = (
    flag("memory-size", type=_COUNT, default=None, help="Vectors that a chat's memory holds. [default: 10000]"),
    flag("index-type", type=click.Choice(INDEX_TYPES), default=None,
         help="How a chat's memory is searched. [default: flat]"),
    flag("num-clusters", type=_COUNT, default=None, help="Clusters of an ivf or compressed index. [default: 1024]"),
    flag("forgetfulness-factor", type=_SHARE, default=None,
         help="Share of a chat's memory forgotten at random after a session. [default: the preset's]"),
)  # fmt: skip

BATCH = (
    flag("batch-size", type=_COUNT, default=None,
         help="So many rows and so many fact episodes a step, and no other. [default: as below]"),
    flag("dialogue-rows", type=_COUNT, default=None,
         help="Rows of real dialogue or text a step. [default: the preset's]"),
    flag("fact-episodes", type=_COUNT, default=None, help="Fact episodes a step. [default: the preset's]"),
    flag("multi-session-episodes", type=_SOME, default=None,
         help="Real multi-session dialogues a step. [default: the preset's]"),
    flag("question-pairs", type=_SOME, default=None,
         help="Tellings and questions a step, for the matching loss. [default: the preset's]"),
    flag("gradient-accumulation-steps", type=_COUNT, default=None, help="Batches to a step. [default: 1]"),
)  # fmt: skip

SCHEDULE = (
    flag("max-steps", type=_COUNT, default=None, help="Optimizer steps. [default: the preset's]"),
    flag("epochs", type=_RATE, default=None, help="Passes over the dialogues or text, instead of steps."),
    flag("learning-rate", type=_RATE, default=None, help="[default: the preset's]"),
    flag("warmup-steps", type=_SOME, default=None, help="[default: 100]"),
    flag("frozen-base-steps", type=_SOME, default=None,
         help="First steps that train the memory's parts alone. [default: 0]"),
    flag("delete-heads-only", is_flag=True, default=None, help="Train what decides on deletes, and nothing else."),
    flag("hard-from", type=_SHARE, default=None,
         help="Share of the run after which stores are hard, as in chat. [default: 0.36]"),
    flag("patience", type=_COUNT, default=None,
         help="Validations without a better one that end the run. [default: run all steps]"),
    flag("seed", type=int, default=None, help="Seed of weights, data and order. [default: 0]"),
)  # fmt: skip

OBJECTIVE = (
    flag("use-memory", type=bool, default=None, help="False: a plain GPT-2 on the same tokens. [default: true]"),
    flag("retrieval-weight", type=_WEIGHT, default=None, help="Weight of that loss. [default: 0.5]"),
    flag("matching-weight", type=_WEIGHT, default=None, help="Weight of that loss. [default: 1.0]"),
    flag("read-out-weight", type=_WEIGHT, default=None, help="Weight of that loss. [default: 0.3]"),
    flag("store-weight", type=_WEIGHT, default=None, help="Weight of that loss. [default: 0.3]"),
    flag("delete-weight", type=_WEIGHT, default=None, help="Weight of that loss. [default: 0.3]"),
)

MACHINE = (
    flag("use-gpu/no-use-gpu", default=None, help="Insist on a GPU, or leave it alone. [default: use what is there]"),
    flag("mixed-precision", type=click.Choice(["no", "bf16", "fp16"]), default=None,
         help="[default: bf16; no, where the processor lacks it]"),
    flag("save-every", type=_COUNT, default=None, help="Steps between saves. [default: 250]"),
    flag("validate-every", type=_COUNT, default=None, help="Steps between validations. [default: 500]"),
    flag("log-with", type=click.Choice(["tensorboard"]), default=None,
         help="Write the metrics for TensorBoard too, into --output-dir."),
    flag("recall-facts", type=_COUNT, default=200, help="Facts of the recall check at the end."),
)  # fmt: skip

TRAIN = (*TEXT, *START, *SIZES, *MEMORY, *BATCH, *SCHEDULE, *OBJECTIVE, *MACHINE)

MODEL = ("n_layer", "memory_dim", "num_search_results", "memory_layer",
         "memory_size", "index_type", "num_clusters", "forgetfulness_factor")  # fmt: skip
"""Parameters that are the model's and its memory's, not the run's."""

WITH_RESUME = frozenset({"data_dir", "output_dir", "resume", "learning_rate", "use_gpu", "recall_facts"})
"""What may be given with --resume; all else is as the run began."""
