"""The language-model loss, on the mixture of the model's own distribution and copies from memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.episodes.batch import Batch
from training.losses import Part
from varda_chat.models.copy_chain import mix_copy_distribution
from varda_chat.models.gpt2 import VardaGPTOutput


def language_model_loss(output: VardaGPTOutput, target: Tensor, weight: Tensor) -> Part:
    """Weighted sum of -log p(target) under the mixture of language model and copies, without building the mixture."""
    assert output.logits is not None
    log_p = -F.cross_entropy(output.logits.float().flatten(0, 1), target.flatten(), reduction="none").view(target.shape)
    if output.copy_decision is not None and output.read_weights is not None and output.search_results is not None:
        share = torch.sigmoid(output.copy_decision) * output.read_weights  # (rows, T, k)
        assert output.search_results.token_ids is not None
        copied = (share * (output.search_results.token_ids == target.unsqueeze(-1))).sum(-1)
        kept = torch.log1p(-share.sum(-1).clamp_max(1 - 1e-6))
        log_p = torch.logaddexp(log_p + kept, copied.clamp_min(1e-12).log())
    return -(log_p * weight).sum(), weight.sum()


def mixed_logits(output: VardaGPTOutput, chosen: Tensor) -> Tensor:
    """Logits (P, V) of the mixture of language model and copies at the P ``chosen`` tokens, (rows, T) bool."""
    assert output.logits is not None
    results, copies, weights = output.search_results, output.copy_decision, output.read_weights
    if results is None or copies is None or weights is None:
        return output.logits[chosen]
    assert results.token_ids is not None
    return mix_copy_distribution(output.logits[chosen], copies[chosen], weights[chosen], results.token_ids[chosen])


@torch.no_grad()
def value_hits(output: VardaGPTOutput, batch: Batch) -> tuple[int, int]:
    """(right, all) spoken values, teacher-forced: every token of the value is the mixture's first choice."""
    spoken = ((batch.target_statement >= 0) & ~batch.probe).flatten(0, 1)
    mixed = mixed_logits(output, spoken)
    target = torch.cat([batch.ids[..., 1:], batch.ids[..., :1]], dim=-1).flatten(0, 1)
    right_token = torch.ones_like(spoken)
    right_token[spoken] = mixed.argmax(-1) == target[spoken]
    # a run of supervised tokens is one value
    starts = spoken & ~torch.nn.functional.pad(spoken, (1, 0))[:, :-1]
    run = starts.flatten().cumsum(0).view(spoken.shape)
    wrong = run[spoken & ~right_token].unique().numel()
    total = int(starts.sum())
    return total - wrong, total
