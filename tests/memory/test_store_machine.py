"""MemoryStore against a plain dict through any sequence of its operations, reopened and crashed between them."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.helpers.stores import agrees, opened, told, turn
from varda_chat.memory import NewStatement, NewVector, verify
from varda_chat.memory.records import Imported


@dataclass
class Known:
    """A statement as the model has it. acts: that stored it, and that removed it. earlier: its texts before edits."""

    text: str
    vectors: tuple[NewVector, ...]
    stored_by: int | None
    pinned: bool = False
    recalls: int = 0
    removed_by: int | None = None
    earlier: list[str] = field(default_factory=list)


@dataclass
class Model:
    """What should be there. Undoing goes by the highest act that anything still bears."""

    there: dict[int, Known] = field(default_factory=dict)
    aside: dict[int, Known] = field(default_factory=dict)

    def last_act(self) -> int:
        acts = [each.stored_by for each in self.there.values()] + [each.removed_by for each in self.aside.values()]
        return max((act for act in acts if act is not None), default=0)

    def remove(self, ids: list[int], act: int | None) -> None:
        for id_ in ids:
            self.aside[id_] = self.there.pop(id_)
            self.aside[id_].removed_by = act

    def bring_back(self, ids: list[int]) -> set[int]:
        """Returns the ids of what now says them: what was told again meanwhile is one with it."""
        back = set()
        for id_ in sorted(ids):
            known = self.aside.pop(id_)
            known.removed_by = None
            same = self.like(known.text)
            if same is None:
                self.there[id_] = known
            else:
                again = self.there[same]
                again.pinned |= known.pinned
                again.recalls += known.recalls
                again.stored_by = known.stored_by
                again.earlier += known.earlier
            back.add(id_ if same is None else same)
        return back

    def like(self, text: str) -> int | None:
        """The oldest statement that says the same."""
        return min((id_ for id_, each in self.there.items() if each.text.lower() == text.lower()), default=None)


class AgainstADict(RuleBasedStateMachine):
    """A store on disk and a model of it, changed alike."""

    capacity = 10_000

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.directory = self.home / "0"
        self.model = Model()
        self.used: set[int] = set()
        self.count = 0
        self.store = opened(self.directory, memory_size=self.capacity)

    def teardown(self) -> None:
        self.store.close()
        assert verify(self.directory) == ()
        shutil.rmtree(self.home)

    def _some(self, data: st.DataObject, among: dict[int, Known]) -> list[int]:
        return data.draw(st.lists(st.sampled_from(sorted(among)), unique=True, min_size=1, max_size=4))

    def _new(self, sizes: list[int], strength: float = 0.5) -> list[NewStatement]:
        new = []
        for size in sizes:
            self.count += 1
            new.append(told(f"fact {self.count} end", size, self.count, strength))
        return new

    @rule(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3), strength=st.sampled_from([0.1, 0.5, 0.9]))
    def add(self, sizes: list[int], strength: float) -> None:
        act = self.model.last_act() + 1
        new = self._new(sizes, strength)
        applied = self.store.apply(turn(*new), session="s")
        dropped = [each.id for each in applied.deleted]
        assert not any(self.model.there[id_].pinned for id_ in dropped)
        self.model.remove(dropped, act)
        kept = [each for each in new if each.text not in {refused.text for refused in applied.refused}]
        assert [each.text for each in applied.stored] == [each.text for each in kept]
        for statement, each in zip(applied.stored, kept, strict=True):
            assert statement.id not in self.used
            self.used.add(statement.id)
            self.model.there[statement.id] = Known(each.text, each.vectors, act)
        free = [each for each in self.model.there.values() if not each.pinned and each.stored_by != act]
        assert applied.size == self.store.size
        assert applied.size <= self.capacity or not any(each.vectors for each in free)

    @precondition(lambda self: bool(self.model.there))
    @rule(data=st.data(), by=st.sampled_from(["turn", "user"]))
    def delete(self, data: st.DataObject, by: str) -> None:
        ids = self._some(data, self.model.there)
        act = self.model.last_act() + 1
        if by == "user":
            gone = [each.id for each in self.store.forget([*ids, 10_000])]
            assert set(gone) == set(ids)
        else:
            applied = self.store.apply(turn(delete=[*ids, 10_000]), session="s")
            gone = [each.id for each in applied.deleted]
            assert {id_ for id_ in ids if not self.model.there[id_].pinned} <= set(gone)
        assert by == "user" or not any(self.model.there[id_].pinned for id_ in gone)
        self.model.remove(gone, act)

    @precondition(lambda self: bool(self.model.there))
    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        text = self.model.there[self._some(data, self.model.there)[0]].text
        same = self.model.like(text)
        assert same is not None
        known = self.model.there[same]
        self.count += 1
        again = told(text.upper() + ".", len(known.vectors) or 2, self.count)
        applied = self.store.apply(turn(again), session="s")
        self.model.remove([each.id for each in applied.deleted], self.model.last_act() + 1)
        assert (applied.stored, [each.id for each in applied.refreshed]) == ((), [same])
        known.recalls += 1
        if not known.vectors:  # edited, and not read since
            known.vectors = again.vectors

    @precondition(lambda self: bool(self.model.aside))
    @rule(data=st.data())
    def tell_what_was_deleted(self, data: st.DataObject) -> None:
        text = self.model.aside[self._some(data, self.model.aside)[0]].text
        if self.model.like(text) is not None:
            return  # as in tell_again
        act = self.model.last_act() + 1
        self.count += 1
        again = told(text, 2, self.count)
        applied = self.store.apply(turn(again), session="s")
        self.model.remove([each.id for each in applied.deleted], act)
        for statement in applied.stored:
            assert statement.id not in self.used
            self.used.add(statement.id)
            self.model.there[statement.id] = Known(text, again.vectors, act)

    @rule()
    def undo(self) -> None:
        act = self.model.last_act()
        done = self.store.undo_last()
        back = [id_ for id_, each in self.model.aside.items() if each.removed_by == act and act]
        assert {each.id for each in done.restored} == self.model.bring_back(back)
        taken = [id_ for id_, each in self.model.there.items() if each.stored_by == act and act]
        if back:  # what the act stored is removed by the next undo
            assert (done.removed, {each.id for each in done.left}) == ((), set(taken))
            return
        assert {each.id for each in done.removed} == set(taken)
        for id_ in taken:
            self.model.there[id_].stored_by = None
        self.model.remove(taken, None)

    @precondition(lambda self: bool(self.model.aside))
    @rule(data=st.data())
    def bring_back(self, data: st.DataObject) -> None:
        ids = self._some(data, self.model.aside)
        assert {each.id for each in self.store.bring_back([*ids, 10_000])} == self.model.bring_back(ids)

    @precondition(lambda self: bool(self.model.there))
    @rule(data=st.data(), pinned=st.booleans())
    def pin(self, data: st.DataObject, pinned: bool) -> None:
        (id_, *_) = self._some(data, self.model.there)
        self.store.pin(id_, pinned)
        self.model.there[id_].pinned = pinned

    @precondition(lambda self: bool(self.model.there))
    @rule(data=st.data(), read=st.booleans())
    def edit(self, data: st.DataObject, read: bool) -> None:
        (id_, *_) = self._some(data, self.model.there)
        self.count += 1
        known = self.model.there[id_]
        known.earlier.append(known.text)
        known.text, known.vectors = f"edited {self.count} end", ()
        self.store.edit(id_, known.text)
        assert id_ in {each.id for each in self.store.reader.foreign_statements()}
        if read:
            known.vectors = told(known.text, 2, self.count).vectors
            self.store.indexing.replace_vectors(id_, known.vectors)

    @precondition(lambda self: bool(self.model.there or self.model.aside))
    @rule(data=st.data())
    def purge(self, data: st.DataObject) -> None:
        (id_, *_) = self._some(data, self.model.there | self.model.aside)
        known = (self.model.there | self.model.aside)[id_]
        self.store.forget([id_], purge=True)
        for among in (self.model.there, self.model.aside):
            for other in [other for other, each in among.items() if each.text in (known.text, *known.earlier)]:
                del among[other]
        for path in self.directory.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert not any(text.encode() in content for text in (known.text, *known.earlier))
            assert not any(each.vector.tobytes() in content for each in known.vectors)

    @rule(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=7), data=st.data())
    def take_in(self, sizes: list[int], data: st.DataObject) -> None:
        act = self.model.last_act() + 1
        new = self._new(sizes)
        known = [self.model.there[id_].text for id_ in self._some(data, self.model.there)] if self.model.there else []
        coming = [*new, *(told(text, 1, 5) for text in known)]
        records = [Imported(each, "s", 1.0, None, 0, False, "model-a" if each.vectors else "") for each in coming]
        assert self.store.importing.add(records) == (len(new), len(known))
        ids = [each.id for each in self.store.statements(len(new))][::-1]
        assert not self.used & set(ids)
        self.used |= set(ids)
        self.model.there |= {id_: Known(e.text, e.vectors, act) for id_, e in zip(ids, new, strict=True)}

    @rule()
    def export_and_take_in_elsewhere(self) -> None:
        with opened(self.home / f"copy {self.count}") as copy:
            count, known = copy.importing.add(self.store.reader.exported())
            assert count + known == len(self.model.there)
            assert {each.text for each in copy.statements()} == {each.text for each in self.model.there.values()}
            agrees(copy)
        shutil.rmtree(copy.directory)

    @rule(share=st.sampled_from([0.0, 0.2]))
    def forget_randomly(self, share: float) -> None:
        act = self.model.last_act() + 1
        gone = [each.id for each in self.store.forget_randomly(share, seed=self.count)]
        assert not any(self.model.there[id_].pinned for id_ in gone)
        self.model.remove(gone, act)

    @rule(how=st.sampled_from(["closed", "without index", "crashed"]))
    def reopen(self, how: str) -> None:
        if how == "crashed":  # what another process would find, were this one killed now
            crashed = self.home / str(int(self.directory.name) + 1)
            shutil.copytree(self.directory, crashed)
            self.store.close()
            shutil.rmtree(self.directory)
            self.directory = crashed
        else:
            self.store.close()
            if how == "without index":
                (self.directory / "memory.faiss").unlink()
        self.store = opened(self.directory, memory_size=self.capacity)
        assert how != "closed" or self.store.notices == []
        assert not any("damaged" in notice for notice in self.store.notices)

    @invariant()
    def same_content(self) -> None:
        found = {each.id: each for each in self.store.statements()}
        assert {id_: (each.text, each.pinned, each.recall_count, each.vector_count) for id_, each in found.items()} == {
            id_: (each.text, each.pinned, each.recalls, len(each.vectors)) for id_, each in self.model.there.items()
        }
        assert {each.id: each.text for each in self.store.removed()} == {
            id_: each.text for id_, each in self.model.aside.items()
        }
        assert self.store.size == sum(len(each.vectors) for each in self.model.there.values())

    @invariant()
    def nothing_is_there_twice(self) -> None:
        said = [each.text for each in self.store.statements()]
        assert len(set(said)) == len(said)

    @invariant()
    def every_vector_is_found(self) -> None:
        for id_, known in self.model.there.items():
            if known.vectors:
                results = self.store.search(np.stack([each.vector for each in known.vectors]), 1)
                assert (results.distances == 0).all()
                assert (self.store.statement_ids(results.ids) == id_).all()


class AgainstADictWhileFull(AgainstADict):
    """The same in a memory that is full after a few statements."""

    capacity = 12


TestAgainstADict = AgainstADict.TestCase
TestAgainstADict.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestWhileFull = AgainstADictWhileFull.TestCase
TestWhileFull.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
