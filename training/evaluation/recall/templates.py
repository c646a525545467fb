"""Scripts from templates: the facts, the corrections and the questions are phrasings of the relations of training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from training.data.synthetic.relations import RELATIONS
from training.data.synthetic.templates import Relation, render
from training.data.synthetic.values import draw
from training.evaluation.recall.tasks import (
    Fact,
    Script,
    Task,
    Tier,
    fits,
    forget,
    interference,
    joined,
    never_told,
    recall,
    update,
)


def draw_facts(
    count: int, tier: Tier, rng: random.Random, relations: Sequence[Relation] = RELATIONS
) -> tuple[Fact, ...]:
    """``count`` facts of different relations for one person, with test values that no other line of theirs holds: then
    a named value says which fact was meant. Fewer where the relations do not suffice."""
    return _gathered(rng.sample(list(relations), len(relations)), count, tier, rng)


def _gathered(relations: Iterable[Relation], count: int, tier: Tier, rng: random.Random) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    for relation in relations:
        if len(facts) == count:
            break
        tries = (_fact(relation, tier, rng) for _ in range(_TRIES))
        fact = next((fact for fact in tries if fits(fact, facts)), None)
        if fact is not None:
            facts.append(fact)
    return tuple(facts)


def _fact(relation: Relation, tier: Tier, rng: random.Random) -> Fact:
    r, seen = relation, tier == "seen"
    value, new = (draw(r.kind, "test", rng) for _ in range(2))
    return Fact(
        topics=(r.name,),
        statement=render(rng.choice(r.tell if seen else r.tell_held_out), value),
        question=rng.choice(r.ask if seen else r.ask_held_out),
        value=value,
        kind=r.kind,
        correction=render(rng.choice(r.correct if seen else r.correct_held_out), new),
        new=new,
        request=rng.choice(r.forget if seen else r.forget_held_out),
    )


_TRIES = 50


_GROUP = 3


_PETS_AND_JOBS = ("pet_name", "job")


def _templated_update(tier: Tier, n: int, rng: random.Random, relations: Sequence[Relation]) -> Script:
    facts = draw_facts(n, tier, rng, relations)
    changing = (n + 1) // 2
    return update(tier, facts[:changing], facts[changing:], rng)


def _templated_forget(tier: Tier, n: int, rng: random.Random, relations: Sequence[Relation]) -> Script:
    facts = draw_facts(n, tier, rng, relations)
    leaving = max(1, n // 2)
    return forget(tier, facts[:leaving], facts[leaving:], rng)


def _templated_never_told(tier: Tier, n: int, rng: random.Random, relations: Sequence[Relation]) -> Script:
    """Asked is what lies near: for each fact told, a relation of the same kind that was not (the dog's name told, the
    cat's asked for)."""
    facts = draw_facts(n, tier, rng, relations)
    told = {fact.topics[0] for fact in facts}
    free = [relation for relation in relations if relation.name not in told]
    asked = []
    for fact in facts:
        near = [relation for relation in free if relation.kind == fact.kind] or free
        if not near:
            break
        relation = rng.choice(near)
        free.remove(relation)
        asked.append((rng.choice(relation.ask if tier == "seen" else relation.ask_held_out), relation.kind))
    return never_told(tier, facts, asked, rng)


def _templated_interference(tier: Tier, n: int, rng: random.Random, relations: Sequence[Relation]) -> Script:
    """Facts of two kinds, several of each (names of pets and jobs of relatives, in every second memory)."""
    by_kind: dict[str, list[Relation]] = {}
    for relation in relations:
        by_kind.setdefault(relation.kind, []).append(relation)
    kinds = [kind for kind, members in by_kind.items() if len(members) >= _GROUP]
    if set(_PETS_AND_JOBS) <= set(kinds) and rng.random() < 0.5:
        chosen = list(_PETS_AND_JOBS)
    else:
        chosen = rng.sample(kinds, min(2, len(kinds))) or list(by_kind)

    half = (n + 1) // 2
    first = _gathered(rng.sample(by_kind[chosen[0]], len(by_kind[chosen[0]])), half, tier, rng)
    others = [relation for kind in chosen[1:] for relation in by_kind[kind]]
    facts = list(first)
    for fact in _gathered(rng.sample(others, len(others)), n, tier, rng):
        if len(facts) < n and fits(fact, facts):
            facts.append(fact)
    return interference(tier, facts, rng)


TEMPLATED: dict[Task, Callable[[Tier, int, random.Random, Sequence[Relation]], Script]] = {
    "recall": lambda tier, n, rng, relations: recall(tier, draw_facts(n, tier, rng, relations), rng),
    "update": _templated_update,
    "forget": _templated_forget,
    "never-told": _templated_never_told,
    "joined": lambda tier, n, rng, relations: joined(tier, draw_facts(n, tier, rng, relations), rng),
    "interference": _templated_interference,
}
