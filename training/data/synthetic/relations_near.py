"""Relations that are easily mixed up: other people's pets, tastes and numbers, and many plain things of the user's."""

from typing import Final

from training.data.synthetic.templates import A, Relation, V, relation, thing
from training.data.synthetic.values import with_article


def _their_pet(owner: str, animal: str) -> Relation:
    """What somebody else's pet is called."""
    both = f"{owner}'s {animal}"
    return relation(
        f"{owner.replace(' ', '_')}_{animal}",
        "pet_name",
        say=(
            f"my {both} is called {V}",
            f"the name of my {both} is {V}",
            f"my {owner} has {with_article(animal)} called {V}",
        ),
        ask=(f"what is my {both} called", f"what's the name of my {both}", f"how is my {both} called"),
        about=(f"what my {both} is called", f"the name of my {both}", f"my {both}'s name"),
        tell=(
            f"I'm looking after {V}, my {both}.", f"My {both} {V} jumped up at me today.",
            f"{V} is my {both}, not mine.", f"my {owner} got {with_article(animal)} and named it {V}",
        ),
        more_ask=(f"My {owner} has {with_article(animal)}. What's it called?", f"my {both}, what was the name?"),
        unknown=(f"I don't know the name of your {both} yet. What is it?",),
        acknowledge=(f"{animal[:1].upper()}{animal[1:]}s are lovely.", f"Say hello to your {both}!"),
    )  # fmt: skip


def _their(owner: str, noun: str, kind: str, *, changes: bool = True) -> Relation:
    """Somebody else's favourite, number or thing."""
    both = f"{owner}'s {noun}"
    return relation(
        f"{owner.replace(' ', '_')}_{noun.replace(' ', '_')}",
        kind,
        say=(f"my {both} is {V}", f"the {noun} of my {owner} is {V}"),
        ask=(f"what is my {both}", f"what's the {noun} of my {owner}"),
        about=(f"what my {both} is", f"my {both}", f"the {noun} of my {owner}"),
        tell=(f"{V}, that's my {both}.", f"My {owner} told me today: the {noun} is {V}.", f"{V} is my {both}"),
        more_ask=(f"and my {both}?", f"Do you have my {both}?"),
        unknown=(f"You haven't told me your {both} yet. What is it?",),
        acknowledge=(f"Thanks, I know your {both} now.",),
        changes=changes,
    )


def _plain(noun: str, kind: str) -> Relation:
    """A thing of the user's: "my locker number is 718"."""
    return thing(
        noun.replace("'", "").replace(" ", "_"),
        noun,
        kind,
        (f"{V} is my {noun}.", f"I had to look it up, but my {noun} is {V}."),
        (f"Thanks, your {noun} is noted.",),
        say=(f"the {noun} I have is {V}",) if kind in ("number", "code", "password") else (),
    )


NEAR: Final[tuple[Relation, ...]] = (
    *(_their_pet(owner, animal) for owner, animal in (
        ("brother", "dog"), ("sister", "dog"), ("neighbour", "dog"), ("best friend", "dog"), ("boss", "dog"),
        ("sister", "cat"), ("brother", "cat"), ("mother", "cat"), ("neighbour", "cat"), ("grandmother", "cat"),
        ("roommate", "cat"), ("daughter", "hamster"), ("son", "hamster"), ("daughter", "rabbit"), ("aunt", "parrot"),
        ("uncle", "horse"), ("daughter", "pony"), ("son", "snake"), ("girlfriend", "dog"), ("boyfriend", "cat"),
    )),
    *(_their(owner, f"favourite {noun}", kind) for owner, noun, kind in (
        ("sister", "colour", "colour"), ("brother", "food", "food"), ("mother", "flower", "flower"),
        ("wife", "flower", "flower"), ("husband", "food", "food"), ("wife", "colour", "colour"),
        ("daughter", "animal", "animal"), ("son", "game", "game"), ("daughter", "colour", "colour"),
        ("son", "food", "food"), ("girlfriend", "film", "film_title"), ("boyfriend", "band", "band"),
        ("best friend", "drink", "drink"), ("father", "dessert", "dessert"), ("grandmother", "song", "song_title"),
        ("mother", "book", "book_title"), ("brother", "team", "sport_team"), ("sister", "singer", "full_name"),
    )),
    *(_their(owner, noun, kind) for owner, noun, kind in (
        ("mother", "phone number", "phone"), ("sister", "phone number", "phone"), ("doctor", "phone number", "phone"),
        ("boss", "phone number", "phone"), ("landlord", "phone number", "phone"),
        ("brother", "address", "street_address"),
        ("mother", "address", "street_address"), ("best friend", "address", "street_address"),
        ("wife", "shoe size", "shoe_size"), ("husband", "shoe size", "shoe_size"), ("son", "shoe size", "shoe_size"),
        ("daughter", "school", "school"), ("son", "school", "school"), ("brother", "car", "car"),
        ("father", "car", "car"),
        ("sister", "hobby", "hobby"), ("father", "hobby", "hobby"), ("son", "instrument", "instrument"),
        ("daughter", "instrument", "instrument"), ("wife", "company", "company"), ("husband", "company", "company"),
        ("best friend", "surname", "surname"), ("son", "allergy", "allergen"),
        ("daughter", "best friend", "person_name"),
        ("son", "teacher", "titled_name"), ("daughter", "teacher", "titled_name"),
    )),
    *(_plain(noun, kind) for noun, kind in (
        ("pizza topping", "food"), ("favourite cheese", "food"), ("favourite sandwich", "food"),
        ("favourite soup", "food"),
        ("favourite snack", "food"), ("favourite pizza", "food"), ("favourite tea", "drink"),
        ("favourite cocktail", "drink"),
        ("favourite podcast", "book_title"), ("favourite museum", "restaurant"), ("favourite bakery", "restaurant"),
        ("favourite café", "restaurant"), ("favourite pub", "restaurant"), ("favourite teacher", "titled_name"),
        ("favourite bird", "animal"), ("favourite sweet", "dessert"), ("favourite poem", "book_title"),
        ("favourite dance", "hobby"), ("favourite tree", "plant"), ("gym", "company"), ("bank", "company"),
        ("insurance company", "company"), ("phone model", "object"), ("laptop password", "password"),
        ("email password", "password"), ("bank PIN", "code"), ("alarm code", "code"), ("safe code", "code"),
        ("bike lock code", "code"), ("library card number", "number"), ("customer number", "number"),
        ("hotel", "restaurant"), ("hotel room", "number"), ("seat number", "number"), ("gate", "number"),
        ("licence plate", "code"), ("flat number", "number"), ("floor", "number"), ("desk number", "number"),
        ("jersey number", "number"), ("ring size", "number"), ("hat size", "number"), ("flower shop", "company"),
        ("maiden name", "surname"), ("stage name", "full_name"), ("pen name", "full_name"), ("gamer tag", "pet_name"),
        ("boat's name", "pet_name"), ("first pet's name", "pet_name"), ("teddy bear's name", "pet_name"),
        ("car's nickname", "pet_name"),
        ("vet", "doctor_name"), ("lawyer", "titled_name"), ("accountant", "full_name"), ("yoga teacher", "female_name"),
        ("piano teacher", "titled_name"), ("favourite uncle", "male_name"), ("godmother", "female_name"),
        ("godfather", "male_name"), ("ex", "person_name"), ("fiancée", "female_name"), ("twin", "person_name"),
        ("stepfather", "male_name"), ("stepmother", "female_name"), ("pen pal", "person_name"),
        ("old school", "school"),
        ("band", "band"), ("choir", "band"), ("home team", "sport_team"), ("village", "city"), ("birthplace", "city"),
        ("next concert", "weekday_time"), ("next meeting", "weekday_time"), ("vet appointment", "weekday_time"),
        ("yoga class", "weekday_time"), ("parents' evening", "weekday_time"), ("book club", "weekday_time"),
        ("choir practice", "weekday_time"), ("football training", "weekday_time"), ("bin day", "weekday_time"),
        ("bedtime", "clock_time"), ("lunch break", "clock_time"), ("first lesson", "clock_time"),
        ("deadline", "date"), ("name day", "date"), ("graduation", "date"), ("retirement date", "date"),
        ("due date", "date"), ("wedding day", "date"), ("first day at work", "date"), ("graduation year", "year"),
    )),
    relation(
        "dream_trip", "country",
        say=(f"I dream of going to {V}", f"the country I want to see most is {V}"),
        ask=("where do I dream of going", "which country do I want to see most"),
        about=("where I dream of going", "which country I want to see most"),
        tell=(f"One day I'll travel to {V}.", f"{V} is at the top of my travel list."),
        acknowledge=("What a dream!", "I hope you get there."),
    ),
    relation(
        "past_job", "job",
        say=(f"I used to work as {A}", f"before, I was {A}"),
        ask=("what did I work as before", "what was my old job"),
        about=("what I worked as before", "my old job"),
        tell=(f"In my old life I was {A}.", f"I was {A} for ten years, before all this."),
        acknowledge=("You've done a lot!", "Do you miss it?"),
    ),
    relation(
        "partner_from", "country",
        say=(f"my partner comes from {V}", f"my partner was born in {V}"),
        ask=("where does my partner come from", "which country is my partner from"),
        about=("where my partner comes from", "which country my partner is from"),
        tell=(f"We visit my partner's family in {V} every year.",),
        acknowledge=("That's a nice country.", "Do you go there often?"),
    ),
)  # fmt: skip
