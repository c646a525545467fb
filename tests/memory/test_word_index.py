"""The index of words: it finds what shares telling words, follows every change, and is never on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.stores import agrees, opened, told, turn
from varda_chat.memory import MemoryStore
from varda_chat.memory.word_index import MOST_WORDS, share_words, words_of

TOLD = (
    "My dog is called Rimba.",
    "The dogs of our neighbours bark at night.",
    "I live at 8 Castle Street.",
    "Zoë's café opens at nine.",
    "我住在里斯本。",
)


def found(store: MemoryStore, text: str, k: int = 9) -> list[str]:
    """The texts of what the words of ``text`` find, the best first."""
    results = store.search_words(text, k)
    assert results.distances.tolist() == sorted(results.distances.tolist())
    return list(dict.fromkeys(store.statement(int(each)).text for each in store.statement_ids(results.ids)))


def remember(store: MemoryStore, *sentences: str) -> list[int]:
    return [each.id for each in store.apply(turn(*map(told, sentences)), session="s").stored]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("What is my DOG called?", [TOLD[0], TOLD[1]]),
        ("castle", [TOLD[2]]),
        ("When does the cafe of zoe open?", [TOLD[3]]),
        ("里斯本", []),
        ("我住在里斯本", [TOLD[4]]),
        ("What is it that you have there?", []),
        ('" OR dog NEAR( * ^ -text:called', [TOLD[0], TOLD[1]]),
        ("", []),
        ("\x00\ud800 😀", []),
    ],
)
def test_telling_words_find(tmp_path: Path, text: str, texts: list[str]) -> None:
    with opened(tmp_path) as store:
        remember(store, *TOLD)
        assert found(store, text) == texts


def test_all_vectors_of_as_many_statements_as_wanted_are_found(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store.search_words("dog", 3).ids.shape == (0,)
        store.apply(turn(told("A dog.", 3), told("A dog, a dog, a dog and a cat.", 2), told("A cat.", 2)), session="s")
        results = store.search_words("dog", 9)
        assert sorted(results.ids.tolist()) == [1, 2, 3, 4, 5]
        assert results.vectors.shape == (5, store.core.index().memory.embedding_dim)
        np.testing.assert_array_equal(results.vectors, store.vectors_of(results.ids)[0])
        assert results.token_ids.tolist() == store.reader.token_ids(results.ids).tolist()
        assert len(set(store.statement_ids(store.search_words("dog", 1).ids).tolist())) == 1


def test_the_rarest_word_counts_most(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        remember(store, "My sister sings.", "My sister swims.", "My sister knits.", "My brother sings.", "A drum.")
        assert found(store, "Does my sister have a drum?", 1) == ["A drum."]


def test_the_words_follow_every_change(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        (dog,) = remember(store, TOLD[0])
        assert found(store, "dog") == [TOLD[0]]
        (castle,) = remember(store, TOLD[2])
        assert found(store, "castle") == [TOLD[2]]
        store.forget([dog])
        assert found(store, "dog") == []
        store.undo_last()
        assert found(store, "dog") == [TOLD[0]]
        store.edit(castle, "I live at 9 Chapel Street.")
        assert found(store, "chapel") == []  # not before the model has read it
        store.indexing.replace_vectors(castle, list(told("x", 2).vectors))
        assert found(store, "chapel") == ["I live at 9 Chapel Street."]
        assert found(store, "castle") == []
        store.forget([castle], purge=True)
        assert found(store, "chapel street") == []
        agrees(store)


def test_a_turn_that_is_not_stored_leaves_no_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        remember(store, TOLD[0])
        found(store, "dog")

        def refuse(*_: object) -> None:
            raise OSError("no")

        monkeypatch.setattr("varda_chat.memory.turn.bump_generation", refuse)
        with pytest.raises(Exception, match="no"):
            remember(store, TOLD[2])
        monkeypatch.undo()
        assert found(store, "castle dog") == [TOLD[0]]


def test_nothing_of_it_is_on_the_disk_and_the_next_start_reads_the_words_again(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        remember(store, *TOLD)
        before = sorted(path.name for path in tmp_path.iterdir())
        found(store, "dog")
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        tables = store.core.db.execute("SELECT name FROM main.sqlite_schema WHERE name LIKE '%word%'").fetchall()
        assert tables == []
    with opened(tmp_path) as store:
        assert found(store, "neighbour's dog") == [TOLD[1], TOLD[0]]
    with opened(tmp_path, read_only=True) as store:
        assert found(store, "castle") == [TOLD[2]]


def test_what_another_model_told_is_not_found(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        remember(store, TOLD[0])
    with opened(tmp_path, fingerprint="model-b") as store:
        assert found(store, "dog") == []
        remember(store, "A dog barks.")
        assert found(store, "dog") == ["A dog barks."]


def test_only_the_last_words_of_a_long_text_are_looked_for() -> None:
    words = words_of(" ".join(f"word{n} the" for n in range(500)))
    assert words == [f"word{n}" for n in range(500 - MOST_WORDS, 500)]
    assert words_of("Is it the DOG, or the dog's bone_bag?") == ["dog", "bone", "bag"]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("What is the hero of my novel allergic to?", "The hero is a retired tax inspector.", True),
        ("How many clocks do I have?", "One clock is broken.", True),
        ("Whose families?", "My family is large.", True),
        ("Who feeds my fish?", "I gave it to my neighbour Mrs. Okafor.", False),
        ("What is it that you have?", "It is what it is.", False),
        ("Which car?", "He cares.", False),
        ("", "", False),
    ],
)
def test_texts_share_telling_words_whatever_their_endings(one: str, other: str, shared: bool) -> None:
    assert share_words(one, other) is share_words(other, one) is shared
