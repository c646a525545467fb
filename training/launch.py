"""How a run meets ``accelerate launch``: devices, precision and processes, and what to say about them."""

from __future__ import annotations

import os
from pathlib import Path

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, DistributedType

from training.config import TrainConfig
from training.precision import precision_on
from varda_chat.errors import VardaError


def make_accelerator(config: TrainConfig, output_dir: Path, *, cpu: bool = False) -> Accelerator:
    """What knows the run's devices and processes; ``cpu``: leave GPUs alone. Raises VardaError for kinds of launch that
    split the model itself."""
    accelerator = _accelerator(config.mixed_precision, config, output_dir, cpu)
    fitting = precision_on(accelerator.device, config.mixed_precision)
    if fitting != config.mixed_precision:
        accelerator = _accelerator(fitting, config, output_dir, cpu)
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise VardaError(
            f"accelerate is set to {accelerator.distributed_type.value}; varda-train shares a step's batch among "
            "processes instead: choose plain multi-GPU or multi-CPU in `accelerate config`."
        )
    return accelerator


def _accelerator(precision: str, config: TrainConfig, output_dir: Path, cpu: bool) -> Accelerator:
    AcceleratorState._reset_state()  # of a run before this one, or of another precision
    return Accelerator(
        mixed_precision=precision,
        cpu=cpu,
        log_with=config.log_with,
        project_dir=output_dir,
        # a step is a step, by however many processes
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )


def launch_notices(accelerator: Accelerator, config: TrainConfig) -> list[str]:
    """A line each on what was launched otherwise than it seems, or than ``config`` asks."""
    lines = _process_notices(accelerator)
    if accelerator.mixed_precision != config.mixed_precision:
        lines.append("This processor has no bfloat16 products: computing in float32, which is faster here.")
    return lines


def _process_notices(accelerator: Accelerator) -> list[str]:
    if accelerator.num_processes > 1:
        return [f"{accelerator.num_processes} processes share each step, on {accelerator.device.type.upper()}s."]
    if "MASTER_ADDR" in os.environ and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        return [
            "Note: `accelerate launch --cpu --num_processes N` starts one process where there is no MPI. For N: "
            "ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes N"
        ]
    return []
