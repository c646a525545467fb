"""Decision and PairDecision: small heads that say yes or no on a line, or on a line and a statement."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Decision(nn.Module):
    """A decision with one hidden layer: (…, width) -> (…, outputs)."""

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc_in = nn.Linear(width, hidden)
        self.fc_out = nn.Linear(hidden, outputs)

    def forward(self, state: Tensor) -> Tensor:
        out: Tensor = self.fc_out(F.gelu(self.fc_in(state)))
        return out


class PairDecision(nn.Module):
    """A decision on a line and a statement: whether the one answers, or ends, the other.

    It begins as a threshold on how near the two are, and learns what nearness does not tell.
    """

    def __init__(self, turn_width: int, statement_width: int, hidden: int, extra: int) -> None:
        super().__init__()
        self.fc_turn = nn.Linear(turn_width, hidden)
        self.fc_statement = nn.Linear(statement_width, hidden)
        self.decision = Decision(3 * hidden + extra, hidden, 1)
        self.fc_near = nn.Linear(extra, 1)

    def forward(self, turn: Tensor, statements: Tensor, extra: Tensor) -> Tensor:
        """Logits (…, n) of turns (…, turn_width) and statements (…, n, statement_width); extra (…, n, extra)."""
        of_statement = self.fc_statement(statements)
        of_turn = self.fc_turn(turn).unsqueeze(-2).expand_as(of_statement)
        pair = torch.cat([of_turn, of_statement, of_turn * of_statement, extra], dim=-1)
        logits: Tensor = self.decision(pair) + self.fc_near(extra)
        return logits.squeeze(-1)
