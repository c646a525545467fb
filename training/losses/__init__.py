"""The losses: of episodes as a whole, and of pairs of a telling and a question."""

from torch import Tensor

Part = tuple[Tensor, Tensor]
"""A loss term's sum over this process' rows, and the weight that the sums of all processes are divided by."""
