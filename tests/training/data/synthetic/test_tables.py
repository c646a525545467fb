"""The tables that synthetic facts are made of: their shape, bad lines, and that a seed draws the same episodes."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.helpers.tiny_chatml import chatml_tokenizer
from training.adapter.lines import load_lines
from training.adapter.sessions import SessionBuilder
from training.data.sources import catalogue
from training.data.sources.documents import SPLITS
from training.data.synthetic.episode_builder import EpisodeBuilder
from training.data.synthetic.pairs import build_pairs
from training.data.synthetic.persona import load_identity
from training.data.synthetic.relations import ALL_RELATIONS, load_relations
from training.data.synthetic.values import KINDS, draw, load_lists
from training.data.synthetic.wordings import HERE, load_wordings, load_words
from training.data.synthetic.written import load_facts
from training.evaluation.recall.scripts import make_scripts
from training.evaluation.recall.tasks import TASKS, TIERS
from training.tables import read_table
from varda_chat.errors import DataError
from varda_chat.models.chat_format import ChatMLFormat

CHAT = ChatMLFormat(chatml_tokenizer())
TALK = [("Hi", "Hello there!"), ("How are you?", "I'm fine, thanks.")]
LOADERS = {
    "relations.jsonl": lambda path: load_relations(path.parent),
    "families.jsonl": lambda path: load_relations(path.parent),
    "phrasings.jsonl": lambda path: load_relations(path.parent),
    "values.jsonl": load_lists,
    "wordings.jsonl": load_wordings,
    "words.jsonl": load_words,
    "persona.jsonl": load_identity,
}
TEMPLATES = {"say": 1, "tell": 1, "correct": 1, "ask": 0, "about": 0, "more_ask": 0, "unknown": 0, "acknowledge": 0}


def digest(*values: object) -> str:
    """The first digits of a hash over everything in ``values``."""
    found = hashlib.sha256()
    for value in values:
        found.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("name", LOADERS)
def test_every_line_has_plain_texts(name: str) -> None:
    def texts(value: object) -> list[str]:
        if isinstance(value, dict | list):
            return [text for each in (value.values() if isinstance(value, dict) else value) for text in texts(each)]
        return [value] if isinstance(value, str) else []

    for record in read_table(HERE / name, lambda record: record):
        for text in texts(record):
            assert text.isprintable(), record
            assert "  " not in text, record


@pytest.mark.parametrize("name", ["relations.jsonl", "families.jsonl", "phrasings.jsonl"])
def test_templates_have_a_place_for_the_value_where_one_is_told(name: str) -> None:
    for record in read_table(HERE / name, lambda record: record):
        for key, values in TEMPLATES.items():
            for text in record.get(key, []):
                assert text.count("{value}") + text.count("{a_value}") == values, text


def test_every_list_of_values_is_drawn_from() -> None:
    source = (HERE / "values.py").read_text(encoding="utf-8")
    assert [name for name in load_lists(HERE / "values.jsonl") if f'"{name}"' not in source.replace("'", '"')] == []


def test_every_use_of_a_wording_has_a_reader() -> None:
    readers = "".join(path.read_text(encoding="utf-8") for path in HERE.parent.rglob("*.py"))
    assert [use for use in load_wordings(HERE / "wordings.jsonl") if f'"{use}"' not in readers] == []


@pytest.mark.parametrize(
    ("name", "line", "problem"),
    [
        ("relations.jsonl", "{", "Expecting property name"),
        ("relations.jsonl", "[]", "not a JSON object"),
        ("relations.jsonl", '{"name": "new", "family": "pest"}', "the key 'pest' is missing"),
        ("relations.jsonl", '{"name": "new", "family": "pet", "words": {}}', "the key 'noun' is missing"),
        ("relations.jsonl", '{"name": "dog_name", "family": "pet", "words": {"noun": "dog"}}', "given before"),
        ("relations.jsonl", '{"name": "new", "kind": "planet", "say": ["{value}"]}', "no kind of value 'planet'"),
        ("relations.jsonl", '{"name": "new", "kind": "job", "say": ["me"]}', "one value is wanted in 'me'"),
        ("relations.jsonl", '{"name": "new", "kind": "job", "unknown": ["Dunno."]}', "an abstention begins"),
        ("relations.jsonl", '{"name": "new", "kind": "job"}', "'say' is empty"),
        ("relations.jsonl", '{"name": "new", "kind": "job", "tell": "I {value}"}', "'tell' is not a list of texts"),
        ("families.jsonl", '{"family": "new", "teld": []}', "unknown key 'teld'"),
        ("phrasings.jsonl", '{"relations": ["dragon_name"], "ask": ["Who?"]}', "no relation 'dragon_name'"),
        ("phrasings.jsonl", '{"relations": ["dog_name"], "ask": ["Is it {value}?"]}', "no value is wanted"),
        ("values.jsonl", '{"list": "cities", "values": ["Rome"]}', "given before"),
        ("values.jsonl", '{"list": "rivers", "values": []}', "is empty"),
        ("wordings.jsonl", '{"use": "tell"}', "the key 'text' is missing"),
        ("words.jsonl", '{"use": "other", "word": "sister", "as": ["sis"]}', "given before"),
        ("persona.jsonl", '{"ask": ["Who are you?"], "reply": []}', "a question and a reply are wanted"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, name: str, line: str, problem: str) -> None:
    for path in HERE.glob("*.jsonl"):
        shutil.copy(path, tmp_path)
    before = (HERE / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(before + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"{name}, line {len(before.splitlines()) + 1}: .*{problem}"):
        LOADERS[name](tmp_path / name)


def test_every_corpus_is_named_once_and_says_whence_and_how_it_may_be_used() -> None:
    table = Path(catalogue.__file__).parent / "corpora.jsonl"
    assert len(catalogue.NAMED) == len(table.read_text(encoding="utf-8").splitlines())
    for named in catalogue.NAMED.values():
        assert named.kind in get_args(catalogue.Kind)
        assert {split for _, split in named.files} <= {None, *SPLITS}
        assert named.licence
        assert named.attribution
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{12}", named.home)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"values\.jsonl cannot be read"):
        load_lists(tmp_path / "values.jsonl")


# What a seed draws. A change of the tables or of the drawing changes these digits, and with them every run's episodes.


def test_relations_are_the_same() -> None:
    assert digest(json.dumps([asdict(relation) for relation in ALL_RELATIONS])) == "2cb372e4d0b6522d"


def test_the_same_seed_draws_the_same_values() -> None:
    rng = random.Random(1)
    assert digest([draw(kind, split, rng) for kind in KINDS for split in ("train", "test")]) == "62f9d5b04a99d970"


def test_the_same_seed_draws_the_same_episodes() -> None:
    builder = EpisodeBuilder(CHAT, TALK)
    episodes = [builder.build(random.Random(seed), 3, 400) for seed in range(4)]
    assert digest(*(array for episode in episodes for array in vars(episode).values())) == "bd0dc3d4b08a67be"


def test_the_same_seed_draws_the_same_pairs() -> None:
    pairs = build_pairs(EpisodeBuilder(CHAT, TALK), random.Random(2), 16)
    assert digest(*vars(pairs).values()) == "8f5ec9d2a4ae7b19"


def test_the_same_seed_draws_the_same_sessions() -> None:
    lines, facts = load_lines(validation=False), load_facts(validation=False)
    drawn = SessionBuilder(CHAT, lines, TALK, facts).draw_people("fixed", range(4), 2, 500)
    arrays = [array for session in drawn for array in (*vars(session.arrays).values(), session.status)]
    assert digest(*arrays, [session.turns for session in drawn]) == "6c4c066bfa55cfbe"


def test_the_same_seed_draws_the_same_benchmark() -> None:
    scripts = [make_scripts(task, tier, facts=8, per_person=4, seed=3) for task in TASKS for tier in TIERS]
    assert digest([asdict(script) for people in scripts for script in people]) == "9db3f152420d133a"
