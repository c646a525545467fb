"""How a run meets ``accelerate launch``: devices, precision and processes, and what to say about them."""

from __future__ import annotations

import os
from pathlib import Path

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, DistributedType

from training.config import TrainConfig
from varda_chat.errors import VardaError


def make_accelerator(config: TrainConfig, output_dir: Path, *, cpu: bool = False) -> Accelerator:
    """What knows the run's devices and processes; ``cpu``: leave GPUs alone. Raises VardaError for kinds of launch that
    split the model itself."""
    AcceleratorState._reset_state()  # of a run before this one, with another precision
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        cpu=cpu,
        log_with=config.log_with,
        project_dir=output_dir,
        # a step is a step, by however many processes
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise VardaError(
            f"accelerate is set to {accelerator.distributed_type.value}; varda-train shares a step's batch among "
            "processes instead: choose plain multi-GPU or multi-CPU in `accelerate config`."
        )
    return accelerator


def launch_notices(accelerator: Accelerator) -> list[str]:
    """A line each on what was launched otherwise than it seems."""
    if accelerator.num_processes > 1:
        return [f"{accelerator.num_processes} processes share each step, on {accelerator.device.type.upper()}s."]
    if "MASTER_ADDR" in os.environ and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        return [
            "Note: `accelerate launch --cpu --num_processes N` starts one process where there is no MPI. For N: "
            "ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes N"
        ]
    return []
