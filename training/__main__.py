"""``python -m training`` is ``varda-train``: for launchers that start modules."""

from training.cli import train

train(prog_name="varda-train")
