"""Properties of a decoder with a memory layer: without memory it is the plain decoder, cached is uncached, rows and
tokens see what they may see. Llama, Qwen2 and Qwen3."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests.helpers.chunks import CLOSE, TENSORS
from tests.helpers.tiny_decoders import (
    ASSISTANT,
    END,
    FIRST_WORD,
    KINDS,
    MEMORY,
    PAD,
    USER,
    ChainedMemory,
    ExactMemory,
    as_row,
    check_tuples,
    checkpoint_layers,
    conversation,
    decoder_settings,
    message,
    tiny_decoder,
    words,
)
from varda_chat.models.building import RareDecision
from varda_chat.models.configuration import STATUSES


def plain_twin(kind: str, model: Any) -> Any:
    config_class, model_class, _, _ = KINDS[kind]
    twin = model_class(config_class(**decoder_settings())).eval()
    found = twin.load_state_dict(model.state_dict(), strict=False)
    assert not found.missing_keys, "every weight of the plain decoder has its name in ours"
    assert all(name.startswith(("memory_layer.", "memory_heads.")) for name in found.unexpected_keys)
    return twin


def test_without_memory_it_is_the_plain_decoder_exactly(kind: str, model: Any, ids: Tensor) -> None:
    with torch.no_grad():
        assert torch.equal(model(ids).logits, plain_twin(kind, model)(ids).logits)


def test_an_empty_memory_changes_nothing(model: Any, ids: Tensor) -> None:
    with torch.no_grad():
        output = model(ids, memory=ExactMemory.of(0))
        torch.testing.assert_close(output.logits, model(ids).logits, atol=1e-5, rtol=1e-5)
    assert not output.read_weights.any()


def test_each_layer_is_built_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, config_class, model_class = KINDS[kind]
    layer_class: Any = type(tiny_decoder(kind, layers=2).model.layers[0]).__mro__[2]
    built = []
    original = layer_class.__init__

    def counted(self: Any, *args: Any, **kwargs: Any) -> None:
        built.append(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(layer_class, "__init__", counted)
    model = model_class(config_class(**decoder_settings(3), memory=MEMORY))
    assert len(built) == len(model.model.layers) == model.config.num_hidden_layers == 3


def test_a_plain_checkpoint_lacks_only_the_memory_parts(kind: str, model: Any, tmp_path: Path) -> None:
    plain_twin(kind, model).save_pretrained(tmp_path)
    _, _, config_class, model_class = KINDS[kind]
    config = config_class(**decoder_settings(), memory=MEMORY)
    loaded, report = model_class.from_pretrained(tmp_path, config=config, output_loading_info=True)
    parts = {name for name in model.state_dict() if name.startswith(("memory_layer.", "memory_heads."))}
    assert set(report["missing_keys"]) == parts
    assert not report["unexpected_keys"]
    state = model.state_dict()
    for name, tensor in loaded.state_dict().items():
        if name not in parts:
            assert torch.equal(tensor, state[name]), name
        assert torch.isfinite(tensor).all(), name
    layer = loaded.memory_layer
    assert layer.log_scale.item() == pytest.approx(math.log(config.memory.score_scale))
    assert bool((layer.feature_scale == 1).all())
    assert not layer.status.weight.any()


def test_copies_begin_rare_in_new_models_only(kind: str, model: Any, tmp_path: Path) -> None:
    _, _, config_class, model_class = KINDS[kind]
    config = config_class(**decoder_settings(), memory=MEMORY)
    new = model_class(config)
    assert new.memory_heads.fc_copy_decision.bias.item() == RareDecision.INITIAL_BIAS
    plain_twin(kind, model).save_pretrained(tmp_path / "plain")
    of_base = model_class.from_pretrained(tmp_path / "plain", config=config)
    assert of_base.memory_heads.fc_copy_decision.bias.item() == RareDecision.INITIAL_BIAS
    with torch.no_grad():
        new.memory_heads.fc_copy_decision.bias.fill_(0.75)
    new.save_pretrained(tmp_path / "learned")
    assert model_class.from_pretrained(tmp_path / "learned").memory_heads.fc_copy_decision.bias.item() == 0.75


def test_saving_and_loading_is_identity(
    kind: str, model: Any, ids: Tensor, memory: ExactMemory, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(loaded, KINDS[kind][3])
    assert not any(report.values()), report
    settings = [each.config.memory.to_dict() | {"dtype": None} for each in (model, loaded)]
    assert settings[0] == settings[1]
    status = torch.tensor([1, 2])
    with torch.no_grad():
        expected = model(ids, memory=memory, status=status).logits
        found = loaded.eval()(ids, memory=memory, status=status).logits
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_the_memory_parts_stay_in_float32(kind: str, model: Any, ids: Tensor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    state = model.state_dict()
    for name, tensor in loaded.state_dict().items():
        if name.startswith(("memory_layer.", "memory_heads.")):
            assert torch.equal(tensor, state[name]), name
        else:
            assert tensor.dtype == torch.bfloat16
    with torch.no_grad():
        output = loaded(ids, memory=ExactMemory.of(9), status=torch.tensor([1, 2]))
    assert output.query.dtype == torch.float32
    assert torch.isfinite(output.logits).all()


@pytest.mark.parametrize("padding", [PAD, END])
@pytest.mark.parametrize("cached", [False, True])
def test_left_padded_rows_are_as_if_alone(model: Any, memory: ChainedMemory, padding: int, cached: bool) -> None:
    rows = [as_row(conversation(0, first=2)), as_row(conversation(7, first=9))]
    width = max(map(len, rows))
    ids = torch.tensor([[padding] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    status = torch.tensor([1, 6])
    with torch.no_grad():
        if cached:
            split = width - 6
            cache = model(ids[:, :split], attention_mask=mask[:, :split], memory=memory, status=status, use_cache=True)
            together = model(
                ids[:, split:], attention_mask=mask, memory=memory, status=status,
                past_key_values=cache.past_key_values,
            )  # fmt: skip
        else:
            together = model(ids, attention_mask=mask, memory=memory, status=status)
        for place, row in enumerate(rows):
            alone = model(torch.tensor([row]), memory=memory, status=status[place : place + 1])
            shown = min(len(row), together.logits.shape[1])
            for name in TENSORS:
                torch.testing.assert_close(
                    getattr(together, name)[place, -shown:], getattr(alone, name)[0, -shown:], **CLOSE, msg=name
                )


def test_rows_do_not_see_each_other(model: Any, ids: Tensor, memory: ChainedMemory) -> None:
    other = ids.clone()
    other[1] = torch.tensor(as_row(conversation(20)))
    with torch.no_grad():
        before, after = model(ids, memory=memory).logits, model(other, memory=memory).logits
    torch.testing.assert_close(before[0], after[0], **CLOSE)
    assert not torch.allclose(before[1], after[1], **CLOSE)


def test_gradient_checkpointing_reads_the_memory_once(kind: str, ids: Tensor) -> None:
    gradients, searches = [], []
    for checkpointing in (False, True):
        model, memory = tiny_decoder(kind).train(), ChainedMemory.of(9)
        if checkpointing:
            checkpoint_layers(model)
        loss = model(ids, memory=memory, labels=ids, status=torch.tensor([1, 6]), use_cache=False).loss
        loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        searches.append(len(memory.searches))
    assert searches == [1, 1]
    assert gradients[0].keys() == gradients[1].keys()
    assert {"memory_layer.fc_query.weight", "memory_layer.status.weight"} <= gradients[0].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-3, msg=name)


def test_the_loss_is_divided_by_what_the_trainer_says(model: Any, ids: Tensor) -> None:
    labels = ids.masked_fill(torch.arange(ids.shape[1]) % 2 == 0, -100)
    with torch.no_grad():
        mean = model(ids, labels=labels).loss
        counted = model(ids, labels=labels, num_items_in_batch=torch.tensor(7)).loss
    torch.testing.assert_close(counted * 7, mean * (labels[:, 1:] >= 0).sum())


def test_a_tuple_comes_where_no_dict_is_wanted(model: Any, ids: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    check_tuples(model, ids, monkeypatch)


def test_a_later_token_changes_nothing_earlier(model: Any, ids: Tensor, memory: ChainedMemory) -> None:
    with torch.no_grad():
        before = model(ids, memory=memory, status=torch.tensor([1, 6]))
        for place in range(2, ids.shape[1], 5):
            for token in (FIRST_WORD + 13, USER, END):
                changed = ids.clone()
                changed[:, place] = token
                after = model(changed, memory=memory, status=torch.tensor([1, 6]))
                for name in TENSORS:
                    old, new = (getattr(output, name)[:, :place] for output in (before, after))
                    torch.testing.assert_close(new, old, **CLOSE, msg=f"{name} before {place}")


@pytest.mark.parametrize("with_memory", [False, True])
def test_a_status_changes_only_replies(model: Any, with_memory: bool) -> None:
    lead = [*message(USER, words(5, 0)), *message(ASSISTANT, words(4, 1)), *message(USER, words(5, 2))]
    ids = torch.tensor([[*lead, *message(ASSISTANT, words(4, 3))]])
    first = len(message(USER, words(5, 0))) + 1
    memory = ChainedMemory.of(9) if with_memory else None
    with torch.no_grad():
        none, *outputs = (
            model(ids, memory=memory, status=status)
            for status in (None, *(torch.tensor([number]) for number in range(len(STATUSES))))
        )
        late = torch.full_like(ids, -1)
        late[:, len(lead) :] = STATUSES.index("deleted")
        second = model(ids, memory=memory, status=late)
    for output in outputs:
        assert torch.equal(output.logits[:, :first], none.logits[:, :first])
        assert (output.logits[:, first:] - none.logits[:, first:]).abs().max() > 1e-3
    assert torch.equal(second.logits[:, : len(lead) + 1], none.logits[:, : len(lead) + 1])
    assert (second.logits[:, len(lead) + 1 :] - none.logits[:, len(lead) + 1 :]).abs().max() > 1e-3


@pytest.mark.parametrize("size", [2, 9])
def test_weights_of_results_sum_with_the_no_match_slot_to_one(model: Any, ids: Tensor, size: int) -> None:
    layer = model.memory_layer
    with torch.no_grad():
        output = model(ids, memory=ExactMemory.of(size))
        results = output.search_results
        similarity = torch.einsum("btd,btkd->btk", output.query, results.vectors)
        scores = layer.scores(similarity, None).masked_fill(results.ids < 0, -torch.inf)
        no_match = torch.exp(output.no_match - torch.cat([scores, output.no_match], -1).logsumexp(-1, keepdim=True))
    total = output.read_weights.sum(-1, keepdim=True) + no_match
    torch.testing.assert_close(total, torch.ones_like(total))
    assert not output.read_weights[results.ids < 0].any()
