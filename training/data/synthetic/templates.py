"""Builds relations from clauses: say a fact once ("my dog is called {value}"), get all its tellings.

Promises: every relation made here has at least the number of templates that training counts on; the choice of
wrappings is fixed by the relation's name; held-out wrappings are never used for the seen templates.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from training.data.synthetic.forgetting import draw_request
from training.data.synthetic.values import with_article

V: Final = "{value}"
A: Final = "{a_value}"


@dataclass(frozen=True)
class Clauses:
    """What the templates of a relation are wrapped around. ``say``: "my dog is called {value}"; ``answer``: the same
    said to the user; ``ask``: "what is my dog called"; ``about``: "what my dog is called", for "Do you know ..."."""

    say: tuple[str, ...]
    answer: tuple[str, ...]
    ask: tuple[str, ...]
    about: tuple[str, ...]


@dataclass(frozen=True)
class Relation:
    """One kind of fact about the user, with all the ways it is told, asked for, corrected and forgotten.

    topic: what it is about; relations that the same answer would fit share it. own_words: share of tellings and
    questions that are sentences of its own; the others are its clauses in any wrapping.
    """

    name: str
    kind: str
    topic: str
    tell: tuple[str, ...]
    ask: tuple[str, ...]
    answer: tuple[str, ...]
    correct: tuple[str, ...]
    forget: tuple[str, ...]
    unknown: tuple[str, ...]
    acknowledge: tuple[str, ...]
    tell_held_out: tuple[str, ...]
    ask_held_out: tuple[str, ...]
    correct_held_out: tuple[str, ...]
    forget_held_out: tuple[str, ...]
    clauses: Clauses
    changes: bool
    own_words: float = 0.55


def render(template: str, value: str) -> str:
    """The template with the value in its place, with an article where the template wants one."""
    return template.replace(A, with_article(value)).replace(V, value)


# In the wrappings, {s} is the clause as said ("my dog is called ..."), {S} the same with a capital letter,
# {q} and {Q} the question, {w} what is asked about ("what my dog is called").

_TELL: Final = (
    "By the way, {s}.", "Just so you know, {s}.", "oh and {s}", "I should tell you that {s}.", "So, {s}.",
    "Did I mention that {s}?", "Hi again! {S}.", "you should know {s}", "Something I haven't told you: {s}.",
    "Remember this, please: {s}.", "Ha, funny you should say that. {S}.", "For the record, {s}.",
    "Please keep in mind that {s}.", "{S}, by the way.", "Well, {s}, if you're curious.", "{S}!", "btw {s}",
    "I don't think I've said it yet, but {s}.", "Before I forget: {s}.", "Okay, so {s}.",
    "Can you remember that {s}?",
    "That reminds me, {s}.", "Hello! Today I want to tell you that {s}.", "You know, {s}.", "well {s}",
    "Here's something about me: {s}.", "Maybe you'd like to know that {s}.", "One thing about my life: {s}.",
    "{S}, in case you wonder.", "What you don't know yet: {s}.", "I was thinking about it today, {s}.",
    "Believe it or not, {s}.", "{S}. That's how it is.", "I forgot to say, {s}.", "I wanted to mention that {s}.",
    "As you may have guessed, {s}.", "It's true that {s}.", "People always ask, so: {s}.", "Let me tell you: {s}.",
    "{S}, you know.", "my news: {s}", "so yeah, {s}", "lol {s}", "Today somebody asked me about it. {S}.",
    "First of all, {s}.", "Also, {s}.", "And {s}.", "To tell you the truth, {s}.",
    "{S}, if you want to write that down.", "For later: {s}.", "Keep this one: {s}.", "note to you: {s}",
    "I'd like you to know that {s}.", "You asked about me, so {s}.", "Right, {s}.", "Yes, and {s}.", "No, but {s}.",
    "haha ok {s}", "It's been a long day. {S}.", "The weather is nice. Oh, {s}.", "Can I tell you something? {S}.",
    "I may have told you already, {s}.", "Between you and me, {s}.", "As for me, {s}.", "Speaking of that, {s}.",
    "Make a mental note: {s}.", "Here is a detail: {s}.", "I'm happy to say that {s}.", "Just a little fact, {s}.",
    "What else? {S}.", "{S}, just so you're aware.",
)  # fmt: skip
_TELL_HELD_OUT: Final = (
    "It may be worth noting that {s}.", "I guess I never told you, but {s}.", "Fun fact: {s}!",
    "Let me share something with you, {s}.", "If it matters at all, {s}.", "Guess what, {s}.",
)  # fmt: skip
_ASK: Final = (
    "Do you remember {w}?", "Can you tell me {w}?", "do you know {w}", "Could you tell me again {w}?",
    "Have I told you {w}?", "Tell me {w}.", "Do you still know {w}?", "Hey, {q}?", "Quick question: {q}?",
    "Let's see if you remember {w}.", "Let's test your memory: {q}?", "do you remember {w}", "Hi! {Q}?",
    "I'd like to know {w}.", "What about this one: {q}?", "So {q}?", "Please tell me {w}.",
    "Do you recall {w}?",
    "You do remember {w}, don't you?", "can you remember {w}?", "I wonder, {q}?", "Hello again. {Q}?",
    "Any idea {w}?", "Do you have any memory of {w}?", "Just checking: {q}?", "You still know {w}, right?",
    "I forgot. {Q}?", "Help me out here, {q}?", "One more question. {Q}?", "Remind me, {q}?", "Remind me {w}.",
    "Can you remind me {w}?", "By the way, {q}?", "And {q}?", "Okay, {q}?", "Well, {q}?", "hmm {q}",
    "Did I ever tell you {w}?", "What did I tell you about {w}?", "I hope you remember {w}.",
    "Did you keep {w} in your memory?", "Do you know {w} by now?", "Are you able to tell me {w}?",
    "I can't think of it right now: {q}?", "My memory is terrible. {Q}?", "A little test. {Q}?",
    "Look it up for me: {q}?", "Go on, tell me {w}.", "Say, {q}?", "varda, {q}?", "Varda, do you know {w}?",
    "yo {q}", "Good morning! {Q}?", "I'm back. {Q}?", "What do you know about {w}?", "Somebody wants to know {w}.",
    "They're asking me {w}. Can you help?", "You haven't lost {w}, have you?", "Let me ask you something: {q}?",
    "tell me {w} please", "Could you look up {w}?", "What was it again, {w}?", "Next one: {q}?",
    "Could you say {w} once more?", "Let's talk about me. {Q}?", "if you remember, {q}",
)  # fmt: skip
_ASK_HELD_OUT: Final = (
    "Would you happen to know {w}?", "I wonder if you've kept in mind {w}.", "Out of curiosity, {q}?",
    "Be honest, {q}?", "Surely you haven't forgotten {w}?", "Now then: {q}?",
)  # fmt: skip
# An answer and an admission never begin alike: greedy decoding chooses between them by one token, after the question,
# where the memory is read. "I remember that ..." and "I don't know ..." shared it, and known facts were denied.
_ANSWER: Final = ("{S}.", "{S}, I believe.", "{S}, as far as I know.", "{S}, if I remember correctly.")  # fmt: skip
ADMISSION: Final = "I don't "
_MISTAKE: Final = (
    "Actually, {s}.", "I was wrong earlier: {s}.", "Sorry, I made a mistake. {S}.", "Small correction: {s}.",
    "I need to correct something: {s}.", "no wait, {s}", "I told you something wrong before. {S}.",
    "That wasn't right, {s}.", "Oops, I mixed that up. {S}.", "Let me correct myself: {s}.",
    "I have to take that back. {S}.", "Forget what I said before, {s}.", "That was a mistake, {s}.",
    "I misspoke, {s}.", "Correction, {s}.", "wait, that's wrong. {s}", "Hold on, {s}.", "I lied, sorry. {S}.",
    "Let me fix that: {s}.", "Not quite. {S}.",
)  # fmt: skip
_CHANGE: Final = (
    "Actually, {s} now.", "Things have changed: {s} now.", "Update: {s} now.", "There's news: {s} now.",
    "{S} now.", "It's different these days, {s} now.",
    "As of today {s}.", "Something's new: {s} now.", "Since yesterday {s}.", "Not any more! Now {s}.",
    "It changed, {s} now.", "Please update this: {s} now.", "{S} from now on.",
)  # fmt: skip
_FORGET: Final = (
    "Please forget {w}.", "Forget {w}.", "I don't want you to remember {w} any more.", "could you forget {w}",
    "Please erase {w} from your memory.", "You can forget {w}.", "I'd rather you forgot {w}.",
    "Please don't remember {w} any longer.", "Could you please forget {w}?", "Delete {w} from your memory.",
    "Remove {w} from your memory.", "Drop {w}, please.", "Can you delete {w}?", "I want you to forget {w}.",
    "Please get rid of {w}.", "Wipe {w} from your memory, please.", "Don't keep {w} in mind.", "forget {w} pls",
    "You shouldn't remember {w}.", "Would you forget {w} for me?", "Let {w} go, please.",
    "I take it back, don't remember {w}.",
)  # fmt: skip
_CORRECT_HELD_OUT: Final = (
    "I have to correct myself, {s}.", "Scratch that, {s}.", "It turns out that {s}.", "My mistake, {s}.",
    "I said it wrong the other day, {s}.",
)  # fmt: skip
_FORGET_HELD_OUT: Final = (
    "Kindly forget {w}.", "I'd prefer it if you forgot {w}.", "Never mind {w}, forget it.",
    "It's better if you don't know {w} any more.", "Please strike {w} from your memory.",
)  # fmt: skip
_UNKNOWN: Final = (
    "I don't know {w} yet. {Q}?", "I don't know {w}.", "I don't think you've told me {w}.",
    "I don't know {w}. Could you tell me?", "I don't think you've told me {w} yet. {Q}?",
)  # fmt: skip
_THANKS: Final = (
    "Got it.", "Thanks for telling me!", "Good to know.", "I'll remember that.",
    "Okay, I'll keep that in mind.",
    "Noted!", "Nice, thank you for sharing that.", "Alright, I won't forget it.", "Oh, I see!",
    "I'm glad you told me.",
    "That's nice to hear.", "Great, I've made a note of it.",
)  # fmt: skip

_YOURS: Final = {
    "i'm": "you're", "i've": "you've", "i'd": "you'd", "i'll": "you'll", "i am": "you are",
    "i was": "you were",
    "am i": "are you", "was i": "were you", "i": "you", "me": "you", "my": "your", "mine": "yours",
    "we're": "you're", "we've": "you've", "we": "you", "our": "your", "us": "you",
}  # fmt: skip
_MINE: Final = re.compile(
    r"(?<!\{)\b(" + "|".join(sorted(map(re.escape, _YOURS), key=len, reverse=True)) + r")\b(?!')",
    re.IGNORECASE,
)


def yours(text: str) -> str:
    """The same said to the user: "my dog" becomes "your dog", "where am I" becomes "where are you"."""

    def swap(match: re.Match[str]) -> str:
        mine = match[0]
        other = _YOURS[mine.lower()]
        starts = match.start() == 0 or text[: match.start()].endswith((". ", "? ", "! "))
        return _capital(other) if starts and mine[0].isupper() and mine[0] != "I" else other

    return _MINE.sub(swap, text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fill(wrapping: str, *, s: str = "", q: str = "", w: str = "") -> str:
    slots = {"{s}": s, "{S}": _capital(s), "{q}": q, "{Q}": _capital(q), "{w}": w}
    return _capital_if(wrapping, re.sub(r"\{[sSqQw]\}", lambda match: slots[match[0]], wrapping))


def _capital_if(wrapping: str, text: str) -> str:
    return _capital(text) if wrapping.startswith(("{S}", "{Q}")) else text


def _wrap(
    rng: random.Random,
    pool: Sequence[str],
    count: int,
    *,
    says: Sequence[str] = ("",),
    asks: Sequence[str] = ("",),
    abouts: Sequence[str] = ("",),
) -> list[str]:
    start = rng.randrange(60)
    return [
        _fill(
            wrapping,
            s=says[(start + i) % len(says)],
            q=asks[(start + i) % len(asks)],
            w=abouts[(start + i) % len(abouts)],
        )
        for i, wrapping in enumerate(rng.sample(pool, count))
    ]


def _unique(*groups: Iterable[str], without: Iterable[str] = ()) -> tuple[str, ...]:
    barred = set(without)
    return tuple(text for text in dict.fromkeys(t for group in groups for t in group) if text not in barred)


def relation(
    name: str,
    kind: str,
    say: Sequence[str],
    ask: Sequence[str],
    about: Sequence[str],
    *,
    tell: Sequence[str] = (),
    more_ask: Sequence[str] = (),
    correct: Sequence[str] = (),
    unknown: Sequence[str] = (),
    acknowledge: Sequence[str] = (),
    answer_from: int = 2,
    changes: bool = True,
) -> Relation:
    """A relation from clauses without capital or full stop.

    `say`: "my dog is called {value}"; the first `answer_from` of them also make the answers. `ask`: "what is
    my dog called" (no question mark). `about`: "what my dog is called", fit for "Do you know ...". `tell`,
    `more_ask`, `correct`, `unknown`, `acknowledge`: finished sentences of this relation's own. `changes`: the
    fact can change in life (a birthday cannot, it can only have been told wrongly).
    """
    rng = random.Random(name)
    answers = [yours(s) for s in say[:answer_from]]
    your_asks, your_abouts = [yours(q) for q in ask], [yours(w) for w in about]
    return Relation(
        name=name,
        kind=kind,
        topic=name,
        tell=_unique([f"{_capital(s)}." for s in say], [say[0]], _wrap(rng, _TELL, 6, says=say), tell),
        ask=_unique([f"{_capital(q)}?" for q in ask], [ask[0]], _wrap(rng, _ASK, 6, asks=ask, abouts=about), more_ask),
        answer=_unique([f"{_capital(s)}." for s in answers], _wrap(rng, _ANSWER, 2, says=answers)),
        correct=_unique(
            _wrap(rng, _MISTAKE, 3, says=say[:answer_from]),
            _wrap(rng, _CHANGE, 2, says=say[:answer_from]) if changes else (),
            correct,
        ),
        forget=_unique(_wrap(rng, _FORGET, 4, abouts=about)),
        unknown=_unique(
            _wrap(rng, _UNKNOWN, 3, asks=your_asks, abouts=your_abouts),
            [text for text in unknown if text.startswith(ADMISSION)],
        ),
        acknowledge=_unique(acknowledge, rng.sample(_THANKS, 3)),
        tell_held_out=_unique(_wrap(rng, _TELL_HELD_OUT, 3, says=say)),
        ask_held_out=_unique(_wrap(rng, _ASK_HELD_OUT, 3, asks=ask, abouts=about)),
        correct_held_out=_unique(_wrap(rng, _CORRECT_HELD_OUT, 2, says=say[:answer_from])),
        forget_held_out=_unique(_wrap(rng, _FORGET_HELD_OUT, 2, abouts=about)),
        clauses=Clauses(tuple(say), tuple(answers), tuple(ask), tuple(about)),
        changes=changes,
    )


def draw_tell(relation: Relation, rng: random.Random) -> str:
    """A way to tell the fact: one of its own, or one of its clauses in any wrapping."""
    if rng.random() < relation.own_words:
        return rng.choice(relation.tell)
    return _fill(rng.choice(_TELL), s=rng.choice(relation.clauses.say))


def draw_ask(relation: Relation, rng: random.Random) -> str:
    """A way to ask for the fact: one of its own, or one of its clauses in any wrapping."""
    if rng.random() < relation.own_words:
        return rng.choice(relation.ask)
    return _fill(rng.choice(_ASK), q=rng.choice(relation.clauses.ask), w=rng.choice(relation.clauses.about))


def draw_correct(relation: Relation, rng: random.Random) -> str:
    """A way to correct the fact."""
    if rng.random() < 0.5:
        return rng.choice(relation.correct)
    pool = _CHANGE if relation.changes and rng.random() < 0.5 else _MISTAKE
    return _fill(rng.choice(pool), s=rng.choice(relation.clauses.say[: len(relation.clauses.answer)]))


def draw_forget(relation: Relation, rng: random.Random) -> str:
    """A way to ask for the fact to be forgotten."""
    request = rng.choice(_FORGET) if rng.random() < 0.3 else draw_request(rng)
    return _fill(request, w=rng.choice(relation.clauses.about))


def pet(animal: str, tell: Sequence[str], acknowledge: Sequence[str]) -> Relation:
    """What the user's dog, cat, parrot ... is called."""
    return relation(
        f"{animal.replace(' ', '_')}_name",
        "pet_name",
        say=(
            f"my {animal} is called {V}",
            f"my {animal}'s name is {V}",
            f"I have {with_article(animal)} named {V}",
            f"the name of my {animal} is {V}",
            f"we have {with_article(animal)} called {V}",
        ),
        ask=(f"what is my {animal} called", f"what's my {animal}'s name", f"what did I name my {animal}"),
        about=(f"what my {animal} is called", f"my {animal}'s name", f"the name of my {animal}"),
        tell=(f"{V} is the name of my {animal}.", f"I named my {animal} {V}.", *tell),
        more_ask=(
            f"what's the name of my {animal}?",
            f"Do you remember the {animal} I have? What's its name?",
        ),
        correct=(
            f"We renamed our {animal}, it's called {V} now.",
            f"My old {animal} is gone. The new one is called {V}.",
            f"Not that name! My {animal}'s name is {V}.",
        ),
        unknown=(
            f"I don't know your {animal}'s name yet. What is it?",
            f"Do you have {with_article(animal)}? I don't know its name.",
        ),
        acknowledge=acknowledge,
    )


def person(
    name: str,
    noun: str,
    kind: str,
    tell: Sequence[str],
    acknowledge: Sequence[str],
    *,
    casual: str = "",
    have: bool = True,
) -> Relation:
    """What somebody in the user's life is called; `have`: one can say "I have a ... called ..."."""
    short = casual or noun
    having = (f"I have {with_article(noun)} called {V}",) if have else ()
    return relation(
        f"{name}_name",
        kind,
        say=(
            f"my {noun} is called {V}",
            f"my {short}'s name is {V}",
            f"the name of my {noun} is {V}",
            *having,
        ),
        ask=(f"what is my {noun} called", f"what's my {short}'s name", f"what is the name of my {noun}"),
        about=(f"what my {noun} is called", f"my {short}'s name", f"the name of my {noun}"),
        tell=(f"{V} is my {short}'s name.", *tell),
        more_ask=(f"my {short}, what's the name again?", f"Do you remember my {noun}'s name?"),
        correct=(f"I got the name of my {short} wrong, it's {V}.", f"My {short} goes by {V} now."),
        unknown=(f"I don't know your {noun}'s name yet. What is it?",),
        acknowledge=acknowledge,
    )


def thing(
    name: str,
    noun: str,
    kind: str,
    tell: Sequence[str],
    acknowledge: Sequence[str],
    *,
    changes: bool = True,
    say: Sequence[str] = (),
    ask: Sequence[str] = (),
    spelling: str = "",
) -> Relation:
    """Something of the user's that is its value ("my phone number is ..."); `spelling`: another spelling."""
    other = spelling or noun
    return relation(
        name,
        kind,
        say=(f"my {noun} is {V}", f"my {other} is {V}", *say),
        ask=(f"what is my {noun}", f"what's my {other}", *ask),
        about=(f"what my {noun} is", f"my {noun}"),
        tell=tell,
        more_ask=(f"Do you remember my {noun}?", f"What did I say my {other} was?"),
        correct=(f"I gave you the wrong {noun}, it's {V}.",),
        unknown=(f"You haven't told me your {noun} yet. What is it?",),
        acknowledge=acknowledge,
        changes=changes,
    )


def favourite(
    noun: str,
    kind: str,
    tell: Sequence[str],
    acknowledge: Sequence[str],
    *,
    verb: str = "like",
) -> Relation:
    """The user's favourite film, colour, food ..."""
    return thing(
        f"favourite_{noun.replace(' ', '_')}",
        f"favourite {noun}",
        kind,
        (f"Of all the {_plural(noun)} I know, I {verb} {V} best.", *tell),
        acknowledge,
        say=(f"the {noun} I {verb} best is {V}",),
        ask=(f"which {noun} do I {verb} best", f"which {noun} is my favorite"),
        spelling=f"favorite {noun}",
    )


def _plural(noun: str) -> str:
    if noun.endswith("s"):
        return noun
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
