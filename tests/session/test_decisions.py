"""What a line does to the memory: statuses by intents and by what is found, with a real memory; nothing is changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from varda_chat.memory import MemoryStore, NewStatement, NewVector, TurnChanges
from varda_chat.models.addressing import Address
from varda_chat.models.chat_format import NOTE_STATEMENTS, ChatMLFormat
from varda_chat.models.configuration import INTENTS, STATUSES
from varda_chat.session.decisions import AS_SURE, Decisions, decide, matches_at_end, stored_outside_a_turn

CHAT = ChatMLFormat(chatml_tokenizer())
DIM = 16
NEW = (NewStatement("My dog is called Bo.", "user", ()),)
LEAST = (NewStatement("My dog is called Bo.", "user", (NewVector(np.zeros(DIM, np.float32), 20, "t", 0.3),)),)


@pytest.fixture
def model() -> Any:
    return chatml_model(CHAT)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    """A memory of five statements of three vectors each."""
    drawn = np.random.default_rng(0).standard_normal((5, 3, DIM)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
    with MemoryStore.open(tmp_path, embedding_dim=DIM, fingerprint="f") as opened:
        stores = tuple(
            NewStatement(f"statement {n}", "user", tuple(NewVector(v, 20 + n, "t", 1.0) for v in vectors))
            for n, vectors in enumerate(drawn)
        )
        opened.apply(TurnChanges(stores=stores), session="s")
        yield opened


def statements_of(store: MemoryStore) -> Any:
    return lambda ids: store.statement_ids(ids.cpu().numpy())


def set_decisions(model: Any, intent: str | None = None, *, ends: bool = False, answers: bool = False) -> None:
    """Let the line have this intent, and end or answer everything or nothing."""
    layer = model.memory_layer
    with torch.no_grad():
        layer.fc_intent.fc_out.weight.zero_()
        layer.fc_intent.fc_out.bias.fill_(0.0)
        if intent is not None:
            layer.fc_intent.fc_out.bias[INTENTS.index(intent)] = 12.0
        for part, says in ((layer.fc_delete_decision, ends), (layer.fc_answer_decision, answers)):
            part.decision.fc_out.weight.zero_()
            part.decision.fc_out.bias.fill_(9.0 if says else -9.0)


def decided(
    model: Any,
    store: MemoryStore | None,
    stores: tuple[NewStatement, ...] = NEW,
    *,
    may_write: bool = True,
    read_beside: Any = None,
    words: str = "",
) -> Decisions:
    line = CHAT.encode("user", "What is my dog called?")
    ids = [*CHAT.opening, *line.ids]
    with torch.inference_mode():
        output = model(torch.tensor([ids]), use_cache=True)
        return decide(
            model, output, len(ids) - line.footer, stores, LEAST, store,
            statements_of(store) if store is not None else lambda ids: np.full(ids.shape, -1), may_write=may_write,
            read_beside=read_beside, words=words,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("intent", "ends", "answers", "stores", "status", "keeps", "deletes"),
    [
        ("tell", False, False, NEW, "stored", True, False),
        ("tell", True, True, NEW, "stored", True, False),
        ("other", False, False, (), "nothing", False, False),
        ("ask", False, True, (), "recalled", False, False),
        ("forget", True, False, (), "deleted", False, True),
        ("other", True, True, NEW, "nothing", False, False),
        ("ask", False, True, NEW, "recalled", False, False),
        ("ask", True, True, NEW, "recalled", False, False),
        ("ask", False, False, NEW, "unknown", False, False),
        ("correct", True, False, NEW, "replaced", True, True),
        ("correct", False, False, NEW, "stored", True, False),
        ("forget", True, False, NEW, "deleted", False, True),
        ("forget", False, True, NEW, "nothing_to_delete", False, False),
    ],
)
def test_what_is_done_follows_from_the_intent_and_from_what_is_found(
    model: Any, store: MemoryStore, intent: str, ends: bool, answers: bool, stores: tuple[NewStatement, ...],
    status: str, keeps: bool, deletes: bool,
) -> None:  # fmt: skip
    set_decisions(model, intent, ends=ends, answers=answers)
    before = store.size
    found = decided(model, store, stores)
    assert found.status_name == status
    assert found.stores == (stores if keeps else ())
    assert bool(found.deletes) is deletes
    assert (found.reads is not None) is (status == "recalled")
    assert found.intents[INTENTS.index(intent)] > 0.9
    assert store.size == before == 15


@pytest.mark.parametrize(("intent", "status"), [("tell", "stored"), ("correct", "replaced")])
def test_what_is_told_is_kept_by_one_word_at_least(model: Any, store: MemoryStore, intent: str, status: str) -> None:
    set_decisions(model, intent, ends=True)
    found = decided(model, store, ())
    assert (found.status_name, found.stores) == (status, LEAST)


@pytest.mark.parametrize(
    ("intent", "kept"), [("tell", True), ("correct", True), ("other", False), ("ask", False), ("forget", False)]
)
def test_outside_a_turn_the_intent_decides_as_in_one(model: Any, intent: str, kept: bool) -> None:
    intents = [0.96 if each == intent else 0.01 for each in INTENTS]
    config = model.config.memory
    assert stored_outside_a_turn(intents, NEW, LEAST, config) == (NEW if kept else ())
    assert stored_outside_a_turn(intents, (), LEAST, config) == (LEAST if kept else ())
    unsure = [0.2] * len(INTENTS)
    assert stored_outside_a_turn(unsure, NEW, LEAST, config) == NEW
    assert stored_outside_a_turn(unsure, (), LEAST, config) == ()


@pytest.mark.parametrize(
    ("tells", "stores", "kept"), [(0.12, NEW, NEW), (0.12, (), ()), (0.05, NEW, ())], ids=["too", "no word", "hardly"]
)
def test_of_a_question_is_stored_what_it_tells(
    model: Any, store: MemoryStore, tells: float, stores: tuple[NewStatement, ...], kept: tuple[NewStatement, ...]
) -> None:
    chances = {"ask": 0.97 - tells, "tell": tells}
    intents = [chances.get(each, 0.01) for each in INTENTS]
    assert stored_outside_a_turn(intents, stores, LEAST, model.config.memory) == kept
    for answers, status in ((False, "stored" if kept else "unknown"), (True, "recalled")):
        set_decisions(model, answers=answers)
        with torch.no_grad():
            model.memory_layer.fc_intent.fc_out.bias.copy_(torch.tensor(intents).log())
        found = decided(model, store, stores)
        assert (found.status_name, found.stores) == (status, kept)


@pytest.mark.parametrize(
    ("intent", "ends", "status"),
    [
        ("tell", False, "incognito"),
        ("correct", True, "incognito"),
        ("forget", True, "incognito"),
        ("forget", False, "nothing_to_delete"),
        ("ask", False, "recalled"),
        ("other", False, "nothing"),
    ],
)
def test_incognito_nothing_is_said_to_be_kept(
    model: Any, store: MemoryStore, intent: str, ends: bool, status: str
) -> None:
    set_decisions(model, intent, ends=ends, answers=True)
    assert decided(model, store, may_write=False).status_name == status


@pytest.mark.parametrize(
    ("intent", "status"),
    [("ask", "unknown"), ("forget", "nothing_to_delete"), ("correct", "stored"), ("tell", "stored")],
)
def test_an_empty_memory_has_nothing_to_recall_or_delete(model: Any, intent: str, status: str) -> None:
    set_decisions(model, intent, ends=True, answers=True)
    found = decided(model, None)
    assert (found.status_name, found.candidates, found.deletes, found.reads) == (status, (), frozenset(), None)


def test_every_statement_near_the_line_is_a_candidate_once(model: Any, store: MemoryStore) -> None:
    found = decided(model, store)
    numbers = [each.statement for each in found.candidates]
    assert sorted(numbers) == sorted({int(n) for n in store.statement_ids(np.arange(1, 16))} - {-1})
    assert len(set(numbers)) == len(numbers) == 5
    chances = [each.answers for each in found.candidates]
    assert chances == sorted(chances, reverse=True)
    assert all(0 <= each.ends <= 1 for each in found.candidates)


def test_a_note_holds_what_answers_about_as_surely_as_the_first(model: Any, store: MemoryStore) -> None:
    set_decisions(model, "ask", answers=True)
    found = decided(model, store)
    odds = [math.log(each.answers / (1 - each.answers)) for each in found.candidates[:NOTE_STATEMENTS]]
    as_sure = [each for each, own in zip(found.candidates, odds, strict=False) if own > odds[0] - AS_SURE]
    assert list(found.found) == as_sure
    assert 1 <= len(as_sure) < NOTE_STATEMENTS


def test_a_reply_reads_only_what_answers(model: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varda_chat.session.decisions.AS_SURE", 99.0)
    set_decisions(model, "ask", answers=True)
    reads = decided(model, store).reads
    assert reads is not None
    results = reads.search(torch.randn(1, 2, DIM), 50)
    ids = {int(each) for each in results.ids.flatten()} - {-1}
    assert len({int(n) for n in store.statement_ids(np.array(sorted(ids)))}) == NOTE_STATEMENTS
    assert reads.size == len(ids) == 3 * NOTE_STATEMENTS
    assert results.token_ids is not None
    assert results.ids.shape == results.token_ids.shape == (1, 2, 50)
    assert bool((results.distances[..., : reads.size].diff() >= 0).all())
    first = results.ids[:, :, :1]
    assert torch.equal(reads.successors(first)[0], store.successors(first)[0])


def test_a_search_by_a_line_finds_the_statement_that_it_is_about(model: Any, store: MemoryStore) -> None:
    ids = [*CHAT.opening, *CHAT.encode("user", "What is my dog called?").ids]
    footer = len(CHAT.footer)
    with torch.inference_mode():
        done = model.lower_pass(torch.tensor([ids]))
        address = Address(*(each[0, -footer] for each in (done.address.mean, done.address.end, done.address.previous)))
        about = torch.nn.functional.pad(model.memory_layer.query_address(address), (0, 4)).numpy()
    wanted = NewStatement("wanted", "user", (NewVector(about, 20, "t", 1.0),))
    store.apply(TurnChanges(stores=(wanted,)), session="s")
    shares = matches_at_end(model, ids, footer, store, statements_of(store), 10)
    assert len(shares) == 6
    best = max(shares, key=lambda each: shares[each])
    assert store.statement(best).text == "wanted"
    assert 0 < sum(shares.values()) <= 1 + 1e-6
    few = matches_at_end(model, ids, footer, store, statements_of(store), 1)
    assert best in few


def test_what_the_search_finds_is_judged_beside_the_line(model: Any, store: MemoryStore) -> None:
    set_decisions(model, "ask", answers=True)
    kept = next(iter(store.statements())).id

    def read_beside(statements: Any) -> list[tuple[float, float]]:
        return [(0.9 if each == kept else 0.2, 0.1) for each in statements]

    found = decided(model, store, read_beside=read_beside)
    assert (found.status_name, [each.statement for each in found.found]) == ("recalled", [kept])
    none = decided(model, store, read_beside=lambda statements: [(0.2, 0.1)] * len(statements))
    assert none.status_name == "unknown"


@pytest.fixture
def crowded(store: MemoryStore) -> MemoryStore:
    """The memory among so many others that the search does not find its statements, "Rimba barks" beside them."""
    drawn = np.random.default_rng(1).standard_normal((60, DIM)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
    others = (NewStatement(f"other {n}", "user", (NewVector(v, 30, "t", 1.0),)) for n, v in enumerate(drawn[:-1]))
    barks = NewStatement("Rimba barks", "user", (NewVector(drawn[-1], 30, "t", 1.0),))
    store.apply(TurnChanges(stores=(*others, barks)), session="s")
    return store


@pytest.mark.parametrize(("intent", "status"), [("ask", "recalled"), ("forget", "deleted")])
def test_what_shares_words_with_the_line_is_read_too(
    model: Any, crowded: MemoryStore, monkeypatch: pytest.MonkeyPatch, intent: str, status: str
) -> None:
    monkeypatch.setattr("varda_chat.session.decisions.RERANKED", 2)
    monkeypatch.setattr("varda_chat.session.decisions.RERANKED_TO_DELETE", 2)
    monkeypatch.setattr(model.config.memory, "rerank_search_weight", 0.0)
    set_decisions(model, intent, answers=True, ends=True)
    barks = crowded.statements()[0].id
    asked: list[list[int]] = []

    def read_beside(statements: Any) -> list[tuple[float, float]]:
        asked.append(list(statements))
        return [(0.9, 0.9) if each == barks else (0.1, 0.1) for each in statements]

    assert decided(model, crowded, read_beside=read_beside).status_name in ("unknown", "nothing_to_delete")
    found = decided(model, crowded, read_beside=read_beside, words="Does Rimba bark?")
    assert found.status_name == status
    assert [len(each) for each in asked] == [2, 3]
    assert asked[1][-1] == barks
    assert {each.statement for each in found.found} | found.deletes == {barks}


def test_without_a_reranker_words_find_nothing_more(model: Any, crowded: MemoryStore) -> None:
    set_decisions(model, "ask", answers=True)
    line = "Does Rimba bark?"
    assert decided(model, crowded, words=line).candidates == decided(model, crowded).candidates
    beside = decided(model, crowded, words=line, read_beside=lambda all_: [(0.5, 0.1)] * len(all_))
    assert any(each.words for each in beside.candidates)


def test_a_search_ranks_what_shares_words_higher(model: Any, crowded: MemoryStore) -> None:
    ids = [*CHAT.opening, *CHAT.encode("user", "Does Rimba bark?").ids]
    footer, barks = len(CHAT.footer), crowded.statements()[0].id

    def best(words: str) -> int:
        beside = lambda statements: [(0.5, 0.1)] * len(statements)  # noqa: E731
        shares = matches_at_end(model, ids, footer, crowded, statements_of(crowded), 5, beside, words)
        return max(shares, key=lambda each: shares[each])

    with torch.inference_mode():
        assert best("") != barks
        assert best("Does Rimba bark?") == barks


def test_only_what_is_judged_to_end_is_deleted(model: Any, store: MemoryStore) -> None:
    set_decisions(model, "forget", ends=True)
    meant = next(iter(store.statements())).id
    found = decided(model, store, read_beside=lambda all_: [(0.0, 0.9 if each == meant else 0.2) for each in all_])
    assert found.deletes == {meant}
    kept = decided(model, store, read_beside=lambda all_: [(0.1, 0.2)] * len(all_))
    assert (kept.status_name, kept.deletes) == ("nothing_to_delete", frozenset())


def test_what_a_sure_line_wants_is_not_read_once_more(careful: Any, store: MemoryStore) -> None:
    """Read beside a statement, a doubt ("You haven't forgotten ..., have you?") may be taken for a request."""
    meant = next(iter(store.statements())).id
    lean(careful, ask=12.0)
    asked = decided(careful, store, read_beside=lambda all_: [(0.0, 0.9 if each == meant else 0.1) for each in all_])
    assert (asked.status_name, [each.statement for each in asked.found]) == ("recalled", [meant])
    assert not asked.deletes
    lean(careful, forget=12.0)
    gone = decided(careful, store, read_beside=lambda all_: [(0.9 if each == meant else 0.1, 0.0) for each in all_])
    assert (gone.status_name, gone.deletes) == ("deleted", frozenset([meant]))
    lean(careful, correct=12.0)
    kept = decided(careful, store, read_beside=lambda all_: [(0.9, 0.1)] * len(all_))
    assert not kept.deletes


def lean(model: Any, **logits: float) -> None:
    """Let the line lean towards these intents."""
    set_decisions(model)
    with torch.no_grad():
        model.memory_layer.fc_intent.fc_out.bias.fill_(-12.0)
        for intent, logit in logits.items():
            model.memory_layer.fc_intent.fc_out.bias[INTENTS.index(intent)] = logit


@pytest.fixture
def careful(model: Any) -> Iterator[Any]:
    """The model, with a threshold that leaves changes to its reranker."""
    before, model.config.memory.change_threshold = model.config.memory.change_threshold, 0.1
    yield model
    model.config.memory.change_threshold = before


def test_a_telling_that_may_be_a_correction_replaces_what_the_reranker_finds_ended(
    careful: Any, store: MemoryStore
) -> None:
    lean(careful, tell=2.0, correct=0.5)
    meant = next(iter(store.statements())).id
    found = decided(careful, store, read_beside=lambda all_: [(0.0, 0.9 if each == meant else 0.2) for each in all_])
    assert (found.status_name, found.deletes) == ("replaced", frozenset([meant]))
    kept = decided(careful, store, read_beside=lambda all_: [(0.0, 0.2)] * len(all_))
    assert (kept.status_name, kept.deletes) == ("stored", frozenset())


def test_only_what_is_likeliest_a_request_forgets(careful: Any, store: MemoryStore) -> None:
    lean(careful, tell=2.0, forget=0.5)
    assert decided(careful, store, read_beside=lambda all_: [(0.0, 0.2)] * len(all_)).status_name == "stored"
    lean(careful, ask=2.0, forget=0.5)
    asked = decided(careful, store, read_beside=lambda all_: [(0.9, 0.9)] * len(all_))
    assert (asked.status_name, asked.deletes) == ("recalled", frozenset())


def test_a_request_must_be_surer_than_a_correction(
    careful: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves nothing behind, and "don't forget ..." resembles it."""
    for name, value in (("search_weight", 0.0), ("end_threshold", 0.6), ("forget_threshold", 0.9)):
        monkeypatch.setattr(careful.config.memory, f"rerank_{name}", value)

    def beside(ends: float) -> Any:
        return lambda statements: [(0.1, ends) for _ in statements]

    lean(careful, forget=12.0)
    assert decided(careful, store, read_beside=beside(0.8)).status_name == "nothing_to_delete"
    assert len(decided(careful, store, read_beside=beside(0.95)).deletes) == 1
    lean(careful, correct=12.0)
    assert len(decided(careful, store, read_beside=beside(0.8)).deletes) == 1


def test_a_request_that_is_not_sure_enough_is_none(careful: Any, store: MemoryStore, monkeypatch: Any) -> None:
    """As "don't you ever forget ..." is."""
    monkeypatch.setattr(careful.config.memory, "request_threshold", 0.95)
    lean(careful, forget=2.0, other=0.5)
    found = decided(careful, store, (), read_beside=lambda all_: [(0.0, 0.99)] * len(all_))
    assert (found.status_name, found.deletes) == ("nothing", frozenset())
    lean(careful, forget=12.0)
    found = decided(careful, store, (), read_beside=lambda all_: [(0.0, 0.99)] * len(all_))
    assert (found.status_name, len(found.deletes)) == ("deleted", 1)


def test_what_may_be_a_question_is_one_where_a_statement_answers_it(careful: Any, store: MemoryStore) -> None:
    def beside(answers: float) -> Any:
        return lambda statements: [(answers, 0.0) for _ in statements]

    lean(careful, other=2.0, ask=0.5)  # 0.18
    assert decided(careful, store, (), read_beside=beside(0.99)).status_name == "recalled"
    assert decided(careful, store, (), read_beside=beside(0.01)).status_name == "nothing"
    lean(careful, tell=2.0, ask=0.5)
    assert decided(careful, store, read_beside=beside(0.99)).status_name == "stored"
    lean(careful, other=2.0, ask=-1.0)  # 0.05
    assert decided(careful, store, (), read_beside=beside(0.99)).status_name == "nothing"


def test_what_the_search_says_counts_beside_what_is_read(careful: Any, store: MemoryStore) -> None:
    memory = careful.config.memory
    before, memory.rerank_search_weight = memory.rerank_search_weight, 0.5
    lean(careful, ask=2.0)

    def read_beside(statements: Any) -> list[tuple[float, float]]:
        return [(0.6, 0.1)] * len(statements)

    unlikely = decided(careful, store, read_beside=read_beside)  # the search says: nothing answers
    assert unlikely.status_name == "unknown"
    set_decisions(careful, "ask", answers=True)
    assert decided(careful, store, read_beside=read_beside).status_name == "recalled"
    memory.rerank_search_weight = before


def test_a_search_judges_the_first_by_reading(model: Any, store: MemoryStore) -> None:
    set_decisions(model, answers=True)
    line = CHAT.encode("user", "What is my dog called?")
    ids, footer = [*CHAT.opening, *line.ids], line.footer
    last = list(matches_at_end(model, ids, footer, store, statements_of(store), 5))[-1]
    shares = matches_at_end(
        model, ids, footer, store, statements_of(store), 5,
        lambda statements: [(0.99 if each == last else 0.01, 0.0) for each in statements],
    )  # fmt: skip
    assert max(shares, key=lambda each: shares[each]) == last
    assert shares[last] > 0.9


@pytest.mark.parametrize(
    ("status", "chance", "admits"),
    [
        ("unknown", 0.99, True),
        ("unknown", 0.7, True),
        ("unknown", 0.5, None),
        ("recalled", 0.99, False),
        ("nothing", 0.99, None),
    ],
)
def test_what_a_reply_has_to_admit(status: str, chance: float, admits: bool | None) -> None:
    """Where a sure question found nothing; never where something was found."""
    intents = tuple(chance if intent == "ask" else 0.0 for intent in INTENTS)
    decided = Decisions((), frozenset(), (), STATUSES.index(status), intents, (), None)
    assert decided.admits is admits
