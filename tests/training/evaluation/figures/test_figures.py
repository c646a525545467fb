"""The figures: put together from results, shown as a page, drawn, and the same in every document that quotes them."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.helpers.paths import ROOT
from training.cli import evaluate
from training.evaluation.figures.page import DOCUMENTS, page, quoted, summary
from training.evaluation.figures.store import add, read_figures, read_result, write_figures
from training.evaluation.recall.introductions import read_people
from training.evaluation.scoring import Score
from training.evaluation.tables import score_json
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import DataError

pytest.importorskip("scipy")

MEASURED = ROOT / "docs" / "figures" / "measured.json"


def result(
    measure: str = "recall", model: str = "mini", fingerprint: str = "a", threshold: float = 0.5, **parts: Any
) -> dict[str, Any]:
    about = {
        "checkpoint": model, "fingerprint": fingerprint, "thresholds": {"store_threshold": threshold},
        "measure": measure, "command": f"varda-eval {model} {measure}", "date": "2026-11-29",
    }  # fmt: skip
    return {"about": about, **parts}


def recall(tier: str, right: int, facts: int = 4, *, level: int = 0, **of: Any) -> dict[str, Any]:
    """A result of the recall task alone, of one tier."""
    score = score_json(Score(right, facts))
    settings = {"facts": facts, "per_person": 2, "seed": 0, "tiers": [tier], "distractors": [level]}
    found = result(
        settings=settings, tasks={"recall": {"value named": {tier: score}}},
        conditions={"memory": {tier: score}}, answers={"memory": {tier: "1" * right + "0" * (facts - right)}},
        distractors={str(level): {tier: score}}, paired={}, notices=[], **of,
    )  # fmt: skip
    found["about"]["command"] += f" --tiers {tier} --facts {facts} --distractors {level}"
    return found


def figures(*results: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"notes": {}, "models": {}}
    for each in results:
        add(found, each)
    return found


# The documents


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_quote_the_figures_as_they_were_measured(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert text.count("<!-- figures: ") == text.count("<!-- end of figures -->") >= 1
    assert quoted(read_figures(MEASURED), text) == text, "run varda-eval figures docs/figures/measured.json --write"


def test_a_changed_figure_is_noticed() -> None:
    found = copy.deepcopy(read_figures(MEASURED))
    found["models"]["mini"]["spared"]["totals"]["of these lost to unrelated lines"]["right"] += 1
    text = (ROOT / "README.md").read_text("utf-8")
    assert quoted(found, text) != text


def test_the_figures_name_no_place_on_a_machine() -> None:
    assert re.findall(r"/(?:home|root|work|tmp|Users)/", MEASURED.read_text("utf-8")) == []


# Putting together


def test_parts_measured_apart_are_put_together_by_tier() -> None:
    apart = figures(recall("seen", 3), recall("held-out", 2), recall("seen", 1, level=100))
    found = apart["models"]["mini"]["recall"]
    assert {tier: score["right"] for tier, score in found["conditions"]["memory"].items()} == {"seen": 3, "held-out": 2}
    assert found["distractors"]["100"]["seen"]["right"] == 1  # and it does not stand for the memory alone
    assert set(found["distractors"]["0"]) == {"seen", "held-out"}


def test_another_number_of_facts_replaces_the_tier_and_other_weights_the_model() -> None:
    found = figures(recall("seen", 3), recall("held-out", 2), recall("seen", 1, level=100))
    add(found, recall("seen", 5, facts=8))
    model = found["models"]["mini"]["recall"]
    assert model["conditions"]["memory"]["seen"]["total"] == 8
    assert model["conditions"]["memory"]["held-out"]["total"] == 4
    assert "seen" not in model["distractors"]["100"]
    (held, seen) = found["models"]["mini"]["parts"]["recall"]
    assert "--tiers held-out --facts 4" in held["command"]
    assert "--tiers seen --facts 8" in seen["command"]
    for other in ({"fingerprint": "b"}, {"fingerprint": "b", "threshold": 0.6}):
        add(found, recall("seen", 1, **other))
        assert set(found["models"]["mini"]["recall"]["conditions"]["memory"]) == {"seen"}
        add(found, recall("held-out", 1, **other))


def test_the_figures_do_not_depend_on_the_order_of_adding(tmp_path: Path) -> None:
    parts = [recall("seen", 3), recall("held-out", 2), recall("seen", 2, model="default")]
    for name, results in (("a", parts), ("b", parts[::-1])):
        write_figures(figures(*results), tmp_path / name)
    a, b = (read_figures(tmp_path / name) for name in "ab")
    assert a == b == figures(*parts)
    assert page(a) == page(b)


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("{", "[]", "{}", json.dumps({"about": {"measure": "speed"}})):
        path.write_text(text)
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_result(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="notes and models"):
        read_figures(path)


# Showing


def test_models_are_compared_where_they_were_asked_the_same() -> None:
    same = page(figures(recall("seen", 4), recall("seen", 1, model="default")))
    assert "| default : mini | phrasings as in training | 4 | 0 : 3, p 0.25 |" in same
    other = page(figures(recall("seen", 4), recall("seen", 1, facts=8, model="default")))
    assert "default : mini" not in other


def test_what_one_model_lacks_is_not_measured_and_what_both_lack_is_left_out() -> None:
    text = summary(figures(recall("hand-written", 2), recall("seen", 1, model="default")))
    assert "| **hand-written facts recalled** | not measured | 50% (15% to 85%) of 4 |" in text
    assert "junk" not in text


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(DataError, match="'recall nano'"):
        quoted(figures(), "<!-- figures: recall nano -->\n<!-- end of figures -->\n")


@pytest.mark.timeout(240)
def test_every_measure_of_a_model_becomes_one_page_and_one_chart(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real results of a tiny model, measured part by part, by the commands."""
    short = GenerationSettings(temperature=0.0, max_new_tokens=4)
    people = read_people()[:2]
    monkeypatch.setattr("training.evaluation.recall.introductions.read_people", lambda: people)
    for module in ("recall.telling", "recall.controls", "recall.reading", "recall.influence", "recall.introductions",
                   "replies.spared"):  # fmt: skip
        monkeypatch.setattr(f"training.evaluation.{module}.GREEDY", short)
    talk = {
        "id": "a", "turns": [{"id": "0", "speaker": "user", "text": "My dog is called Rimba."}],
        "questions": [{"question": "What is my dog called?", "evidence": ["0"], "category": "pets"}],
    }  # fmt: skip
    (tmp_path / "talk.jsonl").write_text(json.dumps(talk) + "\n")
    small = ["--facts", "2", "--per-person", "1"]
    runs = {
        "seen": ["recall", *small, "--tiers", "seen", "--distractors", "0", "--tasks", "recall,update"],
        "hand": ["recall", *small, "--tiers", "hand-written", "--distractors", "0", "--tasks", "recall"],
        "influence": ["influence", *small, "--tiers", "seen"],
        "introductions": ["introductions"],
        "spared": ["spared"],
        "retrieval": ["retrieval", str(tmp_path / "talk.jsonl"), "--systems", "memory, as in chat"],
    }
    measured = tmp_path / "measured.json"
    adding: list[str] = []
    for name, words in runs.items():
        ran = CliRunner().invoke(evaluate, [str(tiny_checkpoint), *words, "--json", str(tmp_path / f"{name}.json")])
        assert ran.exit_code == 0, ran.output
        adding += ["--add", str(tmp_path / f"{name}.json")]
    chart = tmp_path / "chart.svg"
    shown = CliRunner().invoke(evaluate, ["figures", str(measured), *adding, "--chart", str(chart)])
    assert shown.exit_code == 0, shown.output
    name = tiny_checkpoint.name
    for title in ("# Figures", f"## Recall: {name}", f"### The memory against its controls: {name}",
                  "## Several things told in a line", "## Answers asked again", "## Facts among lines",
                  "## Turns found"):  # fmt: skip
        assert title in shown.stdout, title
    assert f"`varda-eval {name} retrieval talk.jsonl --systems 'memory, as in chat'`" in shown.stdout
    assert str(tmp_path) not in measured.read_text()
    assert "<svg" in chart.read_text()
    assert CliRunner().invoke(evaluate, ["figures", str(measured)]).stdout == shown.stdout


def test_write_brings_the_documents_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DOCUMENTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    found = read_figures(MEASURED)
    found["models"]["mini"]["spared"]["totals"]["of these lost to unrelated lines"] = score_json(Score(0, 7))
    write_figures(found, tmp_path / "measured.json")
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(evaluate, ["figures", "measured.json", "--write"])
    assert ran.exit_code == 0, ran.output
    assert "README.md is up to date now." in ran.stderr
    assert "| 0 of 7 |" in (tmp_path / "README.md").read_text("utf-8")
    prose = re.compile(r"<!-- figures.*?<!-- end of figures -->", re.DOTALL)
    for name in DOCUMENTS:
        assert prose.sub("", (tmp_path / name).read_text("utf-8")) == prose.sub("", (ROOT / name).read_text("utf-8"))
