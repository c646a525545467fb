"""``python -m training.adapter``: which settings it takes, and what it says of others."""

from __future__ import annotations

import click
import pytest

from training.adapter.__main__ import settings_of
from training.adapter.rerank import RerankConfig
from training.adapter.speech import SpeechConfig


def test_a_setting_counts_for_the_stage_that_it_names() -> None:
    given = ("speech.max_steps=7", "reranker.max_steps=5", "reranker.judged=0.5")
    assert settings_of(given, "speech", SpeechConfig) == SpeechConfig(max_steps=7)
    assert settings_of(given, "reranker", RerankConfig) == RerankConfig(max_steps=5, judged=0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("voice.max_steps=7", "begins with none of speech, memory, reranker, intents"),
        ("reranker.colour=7", "not a number that can be set"),
        ("reranker.max_steps=many", "invalid literal"),
    ],
)
def test_a_setting_that_no_stage_has_is_named(text: str, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said):
        settings_of((text,), "reranker", RerankConfig)
