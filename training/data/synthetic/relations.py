"""All relations of a user's life that training tells, asks, corrects and forgets.

Promises: names are unique; every template that needs a value has exactly one placeholder ({value} or
{a_value}) and no other template has any; held-out phrasings are not among the seen ones.
"""

from dataclasses import replace
from functools import cache
from typing import Final

from training.data.synthetic.everyday import load_everyday
from training.data.synthetic.phrasing_life import LIFE_PHRASINGS
from training.data.synthetic.phrasing_people import PEOPLE_PHRASINGS
from training.data.synthetic.phrasing_self import SELF_PHRASINGS
from training.data.synthetic.relations_near import NEAR
from training.data.synthetic.relations_self import SELF
from training.data.synthetic.templates import A, Relation, V, person, pet, relation, render

__all__ = ["ALL_RELATIONS", "RELATIONS", "Relation", "relatives", "render"]

_PETS: Final = (
    pet(
        "dog",
        (f"I have to take my dog {V} to the vet tomorrow.",
         f"I just came back from a long walk with my dog {V}.",
         f"{V}, my dog, has eaten one of my shoes again."),
        ("Aww, a dog! I'll remember that.", "Dogs are great company.", "What a lovely name for a dog!"),
    ),
    pet(
        "cat",
        (f"My cat {V} is asleep on the keyboard again.", f"I have to buy food for my cat {V} today.",
         f"Our cat {V} brought a mouse into the kitchen."),
        ("Aww, I like cats.", "A cat! That's a sweet name.", "Cats are such funny animals."),
    ),
    pet(
        "parrot",
        (f"My parrot {V} has learned to say good morning.",
         f"My parrot {V} screams whenever the phone rings."),
        ("A parrot! Does it talk a lot?", "Parrots are so clever.", "What a colourful pet to have!"),
    ),
    pet(
        "hamster",
        (f"My hamster {V} ran in his wheel all night.", f"I need to clean the cage of my hamster {V}."),
        ("Hamsters are so cute!", "I hope the little hamster is well.", "A hamster, how sweet!"),
    ),
    pet(
        "rabbit",
        (f"My rabbit {V} loves carrots and dandelions.",
         f"I built a new hutch for my rabbit {V} last weekend."),
        ("Aww, rabbits are so soft.", "A rabbit! I bet it's fluffy.", "That's a good name for a rabbit."),
    ),
    pet(
        "horse",
        (f"I'm riding my horse {V} on the beach this afternoon.", f"My horse {V} needs new shoes."),
        ("A horse! How wonderful.", "It must be great to go riding.", "Horses are beautiful animals."),
    ),
    pet(
        "goldfish",
        (f"I change the water for my goldfish {V} every Sunday.",
         f"My goldfish {V} swims in circles all day."),
        ("Goldfish are so calming to watch.", "A goldfish, nice!", "I hope the tank is big."),
    ),
    pet(
        "tortoise",
        (f"My tortoise {V} has just woken up from winter sleep.",
         f"My tortoise {V} escaped from the garden, slowly."),
        ("Tortoises can get so old!", "A tortoise, what a calm pet.", "No need to hurry with a tortoise!"),
    ),
    pet(
        "guinea pig",
        (f"My guinea pig {V} squeaks when the fridge opens.", f"My guinea pig {V} got a cucumber today."),
        ("Guinea pigs make the funniest sounds.", "Aww, a guinea pig!", "I hope it gets lots of hay."),
    ),
    pet(
        "budgie",
        (f"My budgie {V} likes to sit on my glasses.", f"I let my budgie {V} fly around the living room."),
        ("Budgies are cheerful little birds.", "A budgie! Does it sing?", "How nice to have a bird at home."),
    ),
    pet(
        "snake",
        (f"My snake {V} has just shed its skin.", f"Visitors are always afraid of my snake {V}."),
        ("A snake! That's unusual.", "Wow, I hope it's a friendly snake.", "Snakes are fascinating."),
    ),
    pet(
        "donkey",
        (f"My donkey {V} refuses to walk in the rain.", f"The kids love to feed our donkey {V}."),
        ("Donkeys are so gentle.", "A donkey! You must have some land.", "What a charming animal to keep."),
    ),
    pet(
        "ferret",
        (f"My ferret {V} stole my keys and hid them.", f"I'm looking for a sitter for my ferret {V}."),
        ("Ferrets are little thieves!", "A ferret, how playful.", "That sounds like a lively house."),
    ),
    pet(
        "pony",
        (f"I brushed my pony {V} for an hour this morning.", f"My pony {V} won a ribbon at the show."),
        ("A pony! Lucky you.", "Ponies can be so stubborn.", "I'm sure it's a beautiful pony."),
    ),
    pet(
        "chicken",
        (f"My chicken {V} laid two eggs today.", f"A fox nearly caught my chicken {V} last night."),
        ("Fresh eggs every day, nice!", "A chicken with a name, I like that.",
         "Chickens have real character."),
    ),
)  # fmt: skip

_PEOPLE: Final = (
    person("sister", "sister", "female_name",
           (f"My sister {V} is coming to visit this weekend.",
            f"I'm on the phone with my sister {V} every day."),
           ("It's nice to have a sister.", "Say hello to your sister from me.")),
    person("brother", "brother", "male_name",
           (f"I'm going fishing with my brother {V} on Saturday.", f"My brother {V} borrowed my car again."),
           ("Brothers can be fun!", "I hope you two get along well.")),
    person("mother", "mother", "female_name",
           (f"My mum {V} makes the best soup.", f"I should call my mother, {V}, more often."),
           ("Mothers are special.", "That's a beautiful name for your mum."), casual="mum", have=False),
    person("father", "father", "male_name",
           (f"My dad {V} is always in his workshop.", f"I learned to drive from my father, {V}."),
           ("Your dad sounds like a good man.",
            "Thanks, now I know your father's name."), casual="dad", have=False),
    person("wife", "wife", "female_name",
           (f"My wife {V} and I are going out for dinner tonight.",
            f"I've been married to my wife {V} for years."),
           ("Your wife must be lovely.", "Give your wife my best."), have=False),
    person("husband", "husband", "male_name",
           (f"My husband {V} burnt the toast again.", f"I met my husband, {V}, on a train."),
           ("Greetings to your husband!", "I'm happy for the two of you."), have=False),
    person("girlfriend", "girlfriend", "female_name",
           (f"I'm cooking for my girlfriend {V} tonight.",
            f"My girlfriend {V} and I are moving in together."),
           ("She sounds lovely.", "I hope you're happy together.")),
    person("boyfriend", "boyfriend", "male_name",
           (f"My boyfriend {V} surprised me with flowers.", f"I'm watching the match with my boyfriend {V}."),
           ("He sounds like a nice guy.", "How sweet!")),
    person("son", "son", "male_name",
           (f"I have to pick up my son {V} from school.", f"My son {V} lost his first tooth."),
           ("Children grow so fast.", "Your son has a fine name.")),
    person("daughter", "daughter", "female_name",
           (f"My daughter {V} is learning to ride a bike.", f"I read to my daughter {V} every night."),
           ("Your daughter has a pretty name.", "You must be proud of your daughter.")),
    person("best_friend", "best friend", "person_name",
           (f"I've known my best friend {V} since school.", f"I'm meeting my best friend {V} for coffee."),
           ("A good friend is worth a lot.", "Everybody needs a best friend."), have=False),
    person("boss", "boss", "titled_name",
           (f"My boss {V} wants the report by Friday.", f"I had a long meeting with my boss, {V}."),
           ("I hope your boss treats you well.", "Bosses can be difficult."), have=False),
    person("teacher", "teacher", "titled_name",
           (f"My teacher {V} gave us far too much homework.", f"I got a good mark from my teacher, {V}."),
           ("A good teacher makes a difference.", "I hope the lessons are fun.")),
    person("neighbour", "neighbour", "titled_name",
           (f"My neighbour {V} plays loud music at night.", f"I lent my ladder to my neighbour, {V}."),
           ("Good neighbours are important.", "I'll remember who lives next door."), casual="neighbor"),
    person("grandmother", "grandmother", "female_name",
           (f"My gran {V} knits socks for the whole family.",
            f"I spent every summer with my grandmother {V}."),
           ("Grandmothers are wonderful.", "She must have many stories."), casual="gran", have=False),
    person("grandfather", "grandfather", "male_name",
           (f"My grandpa {V} still rides his bike every day.", f"My grandfather, {V}, taught me chess."),
           ("Grandfathers know so much.", "I hope your grandpa is well."), casual="grandpa", have=False),
    person("aunt", "aunt", "female_name",
           (f"My aunt {V} sends me a card every Christmas.", f"We're having lunch at my aunt {V}'s place."),
           ("How nice of your aunt.", "Aunts are often the fun ones.")),
    person("uncle", "uncle", "male_name",
           (f"My uncle {V} tells the worst jokes.", f"I'm helping my uncle {V} with the harvest."),
           ("Your uncle sounds funny.", "Every family needs such an uncle.")),
    person("cousin", "cousin", "person_name",
           (f"My cousin {V} is getting married in June.", f"I grew up with my cousin {V}."),
           ("It's nice to have cousins.", "Family is important.")),
    person("niece", "niece", "female_name",
           (f"I'm babysitting my niece {V} tonight.", f"My niece {V} drew a picture of me."),
           ("Your niece is lucky to have you.", "Enjoy the time with your niece!")),
    person("nephew", "nephew", "male_name",
           (f"My nephew {V} only talks about dinosaurs.", f"I bought a kite for my nephew {V}."),
           ("Nephews keep you young.", "I'm sure he looks up to you.")),
    person("doctor", "doctor", "doctor_name",
           (f"I have an appointment with my doctor, {V}.", f"My doctor {V} says I should sleep more."),
           ("I hope it's nothing serious.", "It's good to have a doctor you trust.")),
    person("dentist", "dentist", "doctor_name",
           (f"My dentist {V} found two holes in my teeth.", f"I'm afraid of my dentist, {V}."),
           ("Nobody likes going to the dentist.", "Take care of your teeth!")),
    person("hairdresser", "hairdresser", "person_name",
           (f"My hairdresser {V} cut my hair much too short.",
            f"I only let my hairdresser {V} touch my hair."),
           ("I'm sure your hair looks great.", "A good hairdresser is hard to find.")),
    person("colleague", "colleague", "full_name",
           (f"My colleague {V} is off sick, so I have twice the work.",
            f"I share an office with my colleague {V}."),
           ("Nice colleagues make work easier.", "I hope you work well together.")),
    person("roommate", "roommate", "person_name",
           (f"My roommate {V} never does the dishes.", f"My roommate {V} is having a party tonight."),
           ("Living together isn't always easy.", "I hope your roommate is tidy."), casual="flatmate"),
    person("landlord", "landlord", "titled_name",
           (f"My landlord {V} still hasn't repaired the heating.", f"I paid the rent to my landlord, {V}."),
           ("I hope the rent is fair.", "Landlords, oh well.")),
    person("coach", "coach", "male_name",
           (f"My coach {V} makes us run ten laps.", f"My coach {V} thinks we can win."),
           ("Train hard!", "Your coach must be strict.")),
    person("babysitter", "babysitter", "female_name",
           (f"Our babysitter {V} is coming at seven.", f"The kids adore our babysitter {V}."),
           ("A reliable babysitter is gold.", "Then you can go out in peace.")),
    person("therapist", "therapist", "full_name",
           (f"Talking to my therapist {V} helps me a lot.", f"I see my therapist {V} every other week."),
           ("I'm glad you have somebody to talk to.", "That's a good step, well done.")),
    person("mechanic", "mechanic", "male_name",
           (f"My mechanic {V} says the engine is fine.", f"I left the car with my mechanic {V}."),
           ("I hope the repair isn't expensive.", "An honest mechanic is worth a lot.")),
)  # fmt: skip


def _job(noun: str, acknowledge: tuple[str, ...], *tell: str) -> Relation:
    return relation(
        f"{noun.replace(' ', '_')}_job",
        "job",
        say=(f"my {noun} works as {A}", f"my {noun} is {A}", f"my {noun} has a job as {A}"),
        ask=(
            f"what does my {noun} work as",
            f"what is my {noun}'s job",
            f"what does my {noun} do for a living",
        ),
        about=(f"what my {noun} works as", f"what my {noun}'s job is", f"what my {noun} does for a living"),
        tell=tell,
        more_ask=(f"Do you remember my {noun}'s job?",),
        correct=(
            f"My {noun} changed jobs and works as {A} now.",
            f"My {noun} isn't doing that any more, but works as {A}.",
        ),
        acknowledge=acknowledge,
    )


def _home(noun: str, acknowledge: tuple[str, ...], *tell: str) -> Relation:
    return relation(
        f"{noun.replace(' ', '_')}_city",
        "city",
        say=(f"my {noun} lives in {V}", f"my {noun}'s home is in {V}", f"my {noun} has a flat in {V}"),
        ask=(
            f"where does my {noun} live",
            f"which city does my {noun} live in",
            f"in which town does my {noun} live",
        ),
        about=(f"where my {noun} lives", f"which city my {noun} lives in"),
        tell=(f"I'm visiting my {noun} in {V} next month.", *tell),
        more_ask=(f"Do you remember where my {noun}'s home is?",),
        correct=(f"My {noun} moved to {V}.", f"My {noun} has left that place and lives in {V} now."),
        acknowledge=acknowledge,
    )


def _age(noun: str, acknowledge: tuple[str, ...], *tell: str) -> Relation:
    return relation(
        f"{noun.replace(' ', '_')}_age",
        "age",
        say=(f"my {noun} is {V} years old", f"my {noun} is {V}", f"my {noun}'s age is {V}"),
        ask=(f"how old is my {noun}", f"what is my {noun}'s age", f"what age is my {noun}"),
        about=(f"how old my {noun} is", f"my {noun}'s age"),
        tell=(f"My {noun} just turned {V}.", *tell),
        more_ask=(f"Do you remember my {noun}'s age?",),
        correct=(
            f"It was my {noun}'s birthday, so that makes {V} years.",
            f"My {noun} has turned {V} since then.",
        ),
        acknowledge=acknowledge,
    )


def _birthday(noun: str, acknowledge: tuple[str, ...], *tell: str) -> Relation:
    return relation(
        f"{noun.replace(' ', '_')}_birthday",
        "date",
        say=(
            f"my {noun}'s birthday is on {V}",
            f"my {noun} was born on {V}",
            f"my {noun} has a birthday on {V}",
        ),
        ask=(
            f"when is my {noun}'s birthday",
            f"on which day is my {noun}'s birthday",
            f"when was my {noun} born",
        ),
        about=(f"when my {noun}'s birthday is", f"my {noun}'s birthday", f"the date of my {noun}'s birthday"),
        tell=(f"I must not miss my {noun}'s birthday on {V}.", *tell),
        correct=(
            f"I gave you the wrong date. My {noun}'s birthday is on {V}.",
            f"My {noun}'s birthday isn't then, it's on {V}.",
        ),
        acknowledge=acknowledge,
        changes=False,
    )


_ABOUT_PEOPLE: Final = (
    _job("sister", ("That sounds like a good job for her.", "Your sister must work hard."),
         f"My sister got a job as {A} last week."),
    _job("brother", ("That's an interesting line of work.", "I hope your brother enjoys it."),
         f"My brother always wanted to be {A}, and now he is one."),
    _job("mother", ("Your mother has an important job.", "I hope she isn't too tired after work."),
         f"My mum has been {A} for thirty years."),
    _job("father", ("Your father must know a lot about it.", "That's honest work."),
         f"My dad was happy as {A} all his life."),
    _job("wife", ("I hope your wife likes her work.", "What an interesting job she has."),
         f"My wife had a long shift, she's {A}."),
    _job("husband", ("I hope your husband likes his work.", "Does he enjoy it?"),
         f"My husband comes home late, he's {A}."),
    _job("son", ("You must be proud of your son.", "Good for him!"), f"My son just started out as {A}."),
    _job("daughter", ("You must be proud of her.", "Good for your daughter!"),
         f"My daughter now earns her money as {A}."),
    _job("best friend", ("That's a cool job.", "Your friend must have stories to tell."),
         f"My best friend quit the office to become {A}."),
    _job("neighbour", ("Handy to have next door!", "That's useful to know about a neighbour."),
         f"The man next door, my neighbour, works as {A}."),
    _home("sister", ("Do you visit your sister often?", "I hope she likes it there."),
          f"My sister bought a house in {V}."),
    _home("brother", ("I hear it's nice there.", "Do you see your brother often?"),
          f"My brother studies in {V}."),
    _home("mother", ("Mothers love visits.", "I hope it's not too far from you."),
          f"I'm taking the train to my mum in {V}."),
    _home("father", ("I hope you can see your dad often.", "A nice place to live."),
          f"My dad retired to {V}."),
    _home("son", ("Do you miss your son?", "It's hard when the kids move out."),
          f"My son went off to live in {V}."),
    _home("daughter", ("Do you miss your daughter?", "I hope she's settled in well."),
          f"My daughter found a flat in {V}."),
    _home("best friend", ("Long-distance friendships can last.", "You should visit soon!"),
          f"I rarely see my best friend, who lives in {V}."),
    _home("cousin", ("Is it a nice town?", "Then you have a place to stay there."),
          f"My cousin opened a shop in {V}."),
    _home("grandmother", ("Has she always lived there?", "Grandmothers' houses smell of cake."),
          f"My gran has spent her whole life in {V}."),
    _age("sister", ("That's a good age.", "So that's how old your sister is."),
         f"We lit {V} candles for my sister."),
    _age("brother", ("Time flies, doesn't it?", "So that's how old your brother is."),
         f"My brother turned {V} last week and threw a party."),
    _age("mother", ("I hope she feels young.", "Age is just a number, tell your mother."),
         f"My mum is {V} and still goes dancing."),
    _age("father", ("I wish your father good health.", "I hope he's fit."),
         f"My dad is {V} and still plays football."),
    _age("son", ("They grow up so fast.", "Your son is growing up."),
         f"My son is already {V}, can you believe it?"),
    _age("daughter", ("Time flies with children.", "Your daughter is growing up."),
         f"My daughter is {V} now and wants her own phone."),
    _age("grandmother", ("What a great age!", "I wish your grandmother all the best."),
         f"My gran is {V} and sharp as ever."),
    _age("husband", ("A fine age.", "I hope he feels young."), f"My husband is turning {V} and hates it."),
    _age("wife", ("A fine age.", "I won't tell your wife that you told me."),
         f"My wife turned {V} yesterday."),
    _birthday("sister", ("Don't forget a present for your sister!", "I hope she has a nice party."),
              f"I need a gift for my sister before {V}, her birthday."),
    _birthday("brother", ("I'll help you remember your brother's big day.", "Does he like surprises?"),
              f"My brother throws a party on {V}, his birthday."),
    _birthday("mother", ("Flowers are always a good idea.", "Your mother will be happy if you call."),
              f"I'm baking a cake for my mum on {V}, her birthday."),
    _birthday("father", ("Dads are hard to find presents for.", "I hope your father celebrates."),
              f"We always barbecue on {V}, my dad's birthday."),
    _birthday("wife", ("That's a date you should never miss!", "I hope you'll spoil her."),
              f"I've booked a table for my wife's birthday on {V}."),
    _birthday("husband", ("Better plan something nice for him.", "What does he wish for?"),
              f"I'm planning a surprise for my husband's birthday on {V}."),
    _birthday("best friend", ("Good friends remember birthdays.", "I hope there'll be cake."),
              f"My best friend and I always go out on {V}, the birthday."),
    _birthday("son", ("Will there be a party for him?", "Children love their birthdays."),
              f"My son is counting the days to {V}, his birthday."),
    _birthday("daughter", ("Will there be a party for her?", "I'm sure she's excited."),
              f"My daughter wants a pony for her birthday on {V}."),
    relation(
        "dog_breed", "dog_breed",
        say=(f"my dog is {A}", f"my dog's breed is {V}"),
        ask=("what breed is my dog", "what kind of dog do I have", "which breed is my dog"),
        about=("what breed my dog is", "what kind of dog I have"),
        tell=(f"We got our dog from a shelter, it's {A}.",
              f"I always wanted {A}, and now I have one as a dog."),
        acknowledge=("That's a lovely breed.", "They need a lot of walks, don't they?",
                     "Such handsome dogs."),
        correct=(f"The vet says that my dog is really {A}.",),
    ),
)  # fmt: skip


def _with_more(found: Relation) -> Relation:
    """The relation with its further phrasings."""
    tell, ask = _MORE.get(found.name, ((), ()))
    return replace(
        found,
        tell=tuple(dict.fromkeys((*found.tell, *tell))),
        ask=tuple(dict.fromkeys((*found.ask, *ask))),
    )


_MORE: Final = PEOPLE_PHRASINGS | SELF_PHRASINGS | LIFE_PHRASINGS
RELATIONS: Final[tuple[Relation, ...]] = tuple(map(_with_more, (*_PETS, *_PEOPLE, *_ABOUT_PEOPLE, *SELF, *NEAR)))
"""Every relation that is made from clauses: those that the benchmark's templates are drawn from."""
ALL_RELATIONS: Final[tuple[Relation, ...]] = (*RELATIONS, *load_everyday())
"""Every relation that training tells and asks for."""

_SAME_SORT: Final = (
    ("female_name", "male_name", "person_name", "full_name", "titled_name", "doctor_name"),
    ("film_title", "book_title", "song_title", "band"),
    ("number", "code", "password", "phone", "shoe_size", "age", "year"),
    ("food", "dessert", "flavour", "drink", "coffee", "fruit"),
    ("weekday_time", "clock_time", "date"),
    ("city", "country", "street_address", "hiding_place"),
    ("job", "company", "school", "school_subject"),
)


@cache
def relatives(name: str) -> tuple[Relation, ...]:
    """Relations that are easily taken for the named one: of the same sort of value, or about the same person."""
    named = next(relation for relation in ALL_RELATIONS if relation.name == name)
    kind, about = named.kind, named.topic.rpartition("_")[0]
    sort = next((sort for sort in _SAME_SORT if kind in sort), (kind,))
    return tuple(
        other
        for other in ALL_RELATIONS
        if other.topic != named.topic and (other.kind in sort or (about and other.topic.startswith(f"{about}_")))
    )
