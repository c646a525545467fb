"""Fact values by kind ("Rimba", "dark green", "14 Maple Road"), written as they stand in mid-sentence, and put together
from the lists in ``values.jsonl``.

Promises: `draw` gives a value of the wanted kind; no value is ever in both "train" and "test", whatever the
kind (the split is decided by a stable hash of the finished value); the reserved names are never in "train",
not even as a part of a longer value.
"""

import hashlib
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from training.tables import check_keys, read_table, texts

Split = Literal["train", "test"]
Maker = Callable[[random.Random], str]

_RESERVED: Final = re.compile(r"rimba|\bmira\b", re.IGNORECASE)
_TEST_SHARE: Final = 8  # one value in eight is a test value
_LIST_SHARE: Final = 0.06
_LISTED: Final = (
    "hobby", "instrument", "language", "food", "allergen", "animal", "flower", "fruit", "sport", "game", "drink",
    "dessert", "school_subject",
)  # fmt: skip
_SILENT_H: Final = ("hour", "honest", "honour", "heir")
_CONSONANT_SOUND: Final = ("uni", "use", "euro", "ewe", "one-", "one ", "uk", "ukulele", "utility", "u-")


def load_lists(path: Path) -> dict[str, tuple[str, ...]]:
    """The lists of values by name; a value that stands twice is drawn twice as often. Raises DataError naming the line
    of a bad or repeated list."""
    lists: dict[str, tuple[str, ...]] = {}

    def add(record: dict[str, Any]) -> None:
        check_keys(record, ("list", "values"))
        name, values = record["list"], texts(record, "values")
        if not isinstance(name, str) or name in lists or not values:
            raise ValueError(f"{name!r} is no name, is empty or has been given before")
        lists[name] = values

    read_table(path, add)
    return lists


LISTS: Final = load_lists(Path(__file__).parent / "values.jsonl")
_ONSETS: Final = LISTS["consonants"] * 2 + LISTS["consonant_clusters"]
_VOWELS: Final = LISTS["vowels"] * 4 + LISTS["diphthongs"]


def split_of(value: str) -> Split:
    """The split a finished value belongs to: always the same one."""
    if _RESERVED.search(value):
        return "test"
    digest = hashlib.blake2s(value.lower().encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") % _TEST_SHARE == 0 else "train"


def draw(kind: str, split: Split, rng: random.Random) -> str:
    """A random value of `kind` that belongs to `split`; now and then two of them ("chess and rowing")."""
    if kind in _LISTED and rng.random() < _LIST_SHARE:
        for _ in range(100):
            first, second = (_draw_one(kind, split, rng) for _ in range(2))
            if first != second and split_of(f"{first} and {second}") == split:
                return f"{first} and {second}"
    return _draw_one(kind, split, rng)


def _draw_one(kind: str, split: Split, rng: random.Random) -> str:
    make = KINDS[kind]
    for _ in range(10_000):
        value = make(rng)
        if split_of(value) == split:
            return value
    raise ValueError(f"kind {kind!r} has no value in split {split!r}")


def with_article(value: str) -> str:
    """The value with its indefinite article: "a nurse", "an electrician", "a unicycle"."""
    lower = value.lower()
    vowel = lower.startswith(_SILENT_H) or (lower[:1] in "aeiou" and not lower.startswith(_CONSONANT_SOUND))
    return f"{'an' if vowel else 'a'} {value}"


def _pick(rng: random.Random, name: str) -> str:
    return rng.choice(LISTS[name])


# --- Names ---


def _syllables(rng: random.Random, low: int, high: int) -> str:
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.randint(low, high))]
    return "".join(parts)


def _made_name(rng: random.Random) -> str:
    return (
        _syllables(rng, 1, 3) + _pick(rng, "consonants") + rng.choice("aeiou") + _pick(rng, "name_codas")
    ).capitalize()


def _female_name(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return _pick(rng, "female_names")
    return (_syllables(rng, 1, 2) + _pick(rng, "consonants") + _pick(rng, "female_name_ends")).capitalize()


def _male_name(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return _pick(rng, "male_names")
    return (_syllables(rng, 1, 2) + _pick(rng, "consonants") + _pick(rng, "male_name_ends")).capitalize()


def _person_name(rng: random.Random) -> str:
    return rng.choice((_female_name, _male_name, _made_name))(rng)


def _pet_name(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.35:
        return _pick(rng, "pet_names")
    if roll < 0.42:
        return _pick(rng, "pet_titles") + " " + _pick(rng, "pet_names")
    if roll < 0.5:
        return _person_name(rng)
    return _made_name(rng)


def _surname(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return _pick(rng, "surnames")
    stem = _syllables(rng, 1, 2) + _pick(rng, "surname_ends")
    return stem.capitalize()


def _full_name(rng: random.Random) -> str:
    return f"{_person_name(rng)} {_surname(rng)}"


def _titled_name(rng: random.Random) -> str:
    return f"{_pick(rng, 'titles')} {_surname(rng)}"


def _doctor_name(rng: random.Random) -> str:
    return f"Dr {_surname(rng)}"


def _city(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.5:
        return _pick(rng, "cities")
    name = (_syllables(rng, 1, 2) + _pick(rng, "town_codas") + _pick(rng, "town_ends")).capitalize()
    return f"{_pick(rng, 'town_prefixes')} {name}" if roll > 0.94 else name


# --- Places, firms and teams ---


def _address(rng: random.Random) -> str:
    street = _pick(rng, "streets") if rng.random() < 0.6 else _surname(rng)
    return f"{rng.randint(1, 240)} {street} {_pick(rng, 'street_types')}"


def _company(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.3:
        return f"{_surname(rng)} {_pick(rng, 'company_ends')}"
    if roll < 0.5:
        return f"{_surname(rng)} and {rng.choice(('Sons', 'Daughters', 'Partners', _surname(rng)))}"
    name = _made_name(rng)
    return name if roll < 0.65 else f"{name} {_pick(rng, 'company_ends')}"


def _restaurant(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return f"the {_pick(rng, 'restaurant_adjectives')} {_pick(rng, 'restaurant_nouns')}"
    if roll < 0.7:
        return f"{_person_name(rng)}'s"
    return f"{_pick(rng, 'restaurant_types')} {_made_name(rng)}"


def _school(rng: random.Random) -> str:
    name = _pick(rng, "school_names") if rng.random() < 0.5 else _city(rng)
    return f"{name} {_pick(rng, 'school_types')}"


def _sport_team(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return f"{_city(rng)} {_pick(rng, 'team_name_ends')}"
    return f"the {_city(rng)} {_pick(rng, 'team_animals')}"


def _hiding_place(rng: random.Random) -> str:
    colour = _pick(rng, "hiding_adjectives")
    return f"{_pick(rng, 'hiding_prepositions')} the {colour}{_pick(rng, 'hiding_things')}"


# --- Tastes ---


# --- Titles ---


def _title(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.35:
        return f"The {_pick(rng, 'title_adjectives')} {_pick(rng, 'title_nouns')}"
    if roll < 0.5:
        return f"{_pick(rng, 'title_nouns')} in {_city(rng)}"
    if roll < 0.65:
        return f"The {_pick(rng, 'title_nouns')} of {rng.choice((_city(rng), _made_name(rng)))}"
    if roll < 0.75:
        return f"{_pick(rng, 'title_adjectives')} {_pick(rng, 'title_nouns')}"
    if roll < 0.87:
        return f"A {_pick(rng, 'title_nouns')} for {_person_name(rng)}"
    return f"{_person_name(rng)} and the {_pick(rng, 'title_adjectives')} {_pick(rng, 'title_nouns')}"


def _song_title(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return f"{_pick(rng, 'song_starts')} {_pick(rng, 'song_ends')}"
    if roll < 0.6:
        return f"{_pick(rng, 'title_adjectives')} {_pick(rng, 'song_words')}"
    return f"{_pick(rng, 'title_nouns')} {_pick(rng, 'song_ends')}" if roll < 0.8 else f"Goodbye, {_person_name(rng)}"


def _band(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.5:
        return f"the {_pick(rng, 'title_adjectives')} {_pick(rng, 'band_nouns')}"
    if roll < 0.7:
        return f"{_made_name(rng)} and the {_pick(rng, 'band_nouns')}"
    return _made_name(rng)


# --- Numbers and times ---


def _spell(number: int) -> str:
    if number < 20:
        return LISTS["teens"][number - 10]
    tens = LISTS["tens"][number // 10 - 2]
    return tens if number % 10 == 0 else f"{tens}-{LISTS['units'][number % 10 - 1]}"


def _age(rng: random.Random) -> str:
    number = rng.randint(10, 98)
    return str(number) if rng.random() < 0.7 else _spell(number)


def _ordinal(day: int) -> str:
    ending = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _date(rng: random.Random) -> str:
    month, day = _pick(rng, "months"), rng.randint(1, 28)
    return rng.choice(
        (f"the {_ordinal(day)} of {month}", f"{month} {day}", f"{month} {_ordinal(day)}", f"{day} {month}")
    )


def _clock_time(rng: random.Random) -> str:
    hour = rng.randint(1, 12)
    if rng.random() < 0.5:
        return f"{hour}:{rng.randrange(0, 60, 5):02d}"
    past = _pick(rng, "clock_quarters")
    return f"{past} {(*LISTS['units'], *LISTS['teens'])[hour - 1]}"


def _weekday_time(rng: random.Random) -> str:
    when = rng.choice((str(rng.randint(1, 12)), _clock_time(rng), _clock_time(rng), "noon"))
    return f"{_pick(rng, 'days')} at {when}"


def _digits(rng: random.Random, length: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(length))


def _phone(rng: random.Random) -> str:
    return rng.choice(
        (
            f"07{_digits(rng, 3)} {_digits(rng, 6)}",
            f"555-{_digits(rng, 4)}",
            f"0{_digits(rng, 3)} {_digits(rng, 5)}",
        )
    )


def _password(rng: random.Random) -> str:
    return f"{_pick(rng, 'password_words')}{_pick(rng, 'password_words')}{rng.randint(10, 99)}"


def _season(rng: random.Random) -> str:
    return _pick(rng, "season_prefixes") + rng.choice(LISTS["seasons"] * 2 + LISTS["months"])


# --- The kinds ---


def _one_of(name: str) -> Maker:
    return lambda rng: _pick(rng, name)


def _food(rng: random.Random) -> str:
    food = _pick(rng, "foods")
    return f"{_pick(rng, 'food_styles')} {food}" if rng.random() < 0.25 and " " not in food else food


def _colour(rng: random.Random) -> str:
    return _pick(rng, "colours") if rng.random() < 0.5 else f"{_pick(rng, 'shades')} {_pick(rng, 'shaded_colours')}"


def _coffee(rng: random.Random) -> str:
    return f"{_pick(rng, 'coffee_sizes')} {_pick(rng, 'coffees')}{_pick(rng, 'coffee_extras')}"


def _car(rng: random.Random) -> str:
    car = _pick(rng, "cars")
    return car if rng.random() < 0.5 else f"{_pick(rng, 'plain_colours')} {car}"


def _belonging(rng: random.Random) -> str:
    return f"{_pick(rng, 'plain_colours')} {_pick(rng, 'belongings')}"


def _object(rng: random.Random) -> str:
    return _pick(rng, "object_styles") + _pick(rng, "objects")


KINDS: Final[dict[str, Maker]] = {
    "pet_name": _pet_name,
    "person_name": _person_name,
    "female_name": _female_name,
    "male_name": _male_name,
    "surname": _surname,
    "full_name": _full_name,
    "titled_name": _titled_name,
    "doctor_name": _doctor_name,
    "city": _city,
    "street_address": _address,
    "country": _one_of("countries"),
    "company": _company,
    "restaurant": _restaurant,
    "school": _school,
    "sport_team": _sport_team,
    "hiding_place": _hiding_place,
    "food": _food,
    "dessert": _one_of("desserts"),
    "flavour": _one_of("flavours"),
    "drink": _one_of("drinks"),
    "coffee": _coffee,
    "fruit": _one_of("fruits"),
    "allergen": _one_of("allergens"),
    "colour": _colour,
    "animal": _one_of("animals"),
    "dog_breed": _one_of("dog_breeds"),
    "flower": _one_of("flowers"),
    "plant": _one_of("plants"),
    "hobby": _one_of("hobbies"),
    "sport": _one_of("sports"),
    "game": _one_of("games"),
    "school_subject": _one_of("school_subjects"),
    "instrument": _one_of("instruments"),
    "language": _one_of("languages"),
    "job": _one_of("jobs"),
    "car": _car,
    "object": _object,
    "belonging": _belonging,
    "film_title": _title,
    "book_title": _title,
    "song_title": _song_title,
    "band": _band,
    "age": _age,
    "year": lambda rng: str(rng.randint(1940, 2012)),
    "date": _date,
    "weekday_time": _weekday_time,
    "clock_time": _clock_time,
    "code": lambda rng: _digits(rng, 4),
    "phone": _phone,
    "number": lambda rng: str(rng.randint(2, 999)),
    "shoe_size": lambda rng: rng.choice(
        (str(rng.randint(33, 50)), f"{rng.randint(33, 50)} and a half", f"UK {rng.randint(3, 14)}")
    ),
    "password": _password,
    "season": _season,
}
