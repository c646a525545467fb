"""Ways to ask for something to be forgotten, put together from an opening, a request and an ending."""

from __future__ import annotations

import random
from typing import Final

# {w} is what is to go: "my dog's name", "where I live". The wordings kept for the benchmark are in relation_families.
_REQUESTS: Final = (
    "forget {w}", "forget about {w}", "forget {w} again", "erase {w}", "erase {w} from your memory", "delete {w}",
    "delete what you know about {w}", "remove {w}", "remove {w} from what you know", "wipe {w}", "drop {w}",
    "get rid of {w}", "stop remembering {w}", "stop keeping {w} in your memory", "clear {w} from your memory",
    "throw away {w}", "discard {w}", "scrub {w} from your notes", "unlearn {w}", "lose {w}", "let go of {w}",
    "take {w} out of your memory", "cross out {w}",
)  # fmt: skip
_OPENINGS: Final = (
    "", "", "", "Please ", "Please ", "Can you ", "Can you please ", "Could you ", "Would you ", "Would you please ",
    "Will you ", "I want you to ", "I'd like you to ", "I need you to ", "I would like you to ", "You should ",
    "You had better ", "Do me a favour and ", "Feel free to ", "It's time to ", "Now ", "Varda, ", "hey, ", "pls ",
    "From now on, ", "On second thought, ", "On second thoughts, please ", "Sorry, but please ", "Actually, please ",
    "Actually, can you ", "One thing: please ", "You can ", "You may ", "Just ", "Oh, and ", "Better ", "Okay, now ",
    "I'm asking you to ", "Be so good as to ", "For my privacy, ", "Let's ",
)  # fmt: skip
_ENDINGS: Final = (
    ".", ".", ".", "", "!", ", please.", " please", " now.", ", okay?", ", will you?", ", thanks.", " for good.",
    " for me.", ". It's private.", ". I shouldn't have said it.", ". You don't need it.", " completely.",
    ". Nobody has to know.", " right away.", ". That was too much.", " pls", ". I've changed my mind about sharing it.",
)  # fmt: skip
_SENTENCES: Final = (
    "I don't want {w} in your memory.", "I don't want you to know {w}.", "There's no need to remember {w}.",
    "No need to keep {w}.", "You needn't remember {w}.", "You don't have to remember {w} any more.",
    "I'd feel better if you didn't remember {w}.", "I'd be glad if you forgot {w}.", "I shouldn't have told you {w}.",
    "I wish I hadn't told you {w}. Forget it.", "Don't remember {w}.", "don't remember {w} any more pls",
    "Don't hold on to {w}.", "Don't store {w}.", "do not keep {w}", "Don't save {w}, please.",
    "Never bring up {w} again.",
    "I'd like {w} gone from your memory.", "I want {w} deleted.", "I want {w} out of there.", "Can {w} be forgotten?",
    "About {w}: forget it.", "About {w}, please delete that.", "You know {w}? Forget it.",
    "You know {w}. Please don't.",
    "Remember that I told you {w}? I want that gone.", "What I said about {w} has to go.",
    "I told you {w}. Erase that.",
    "It would be nice if you didn't remember {w}.", "As for {w}, let it go.", "Keep {w} no longer.",
    "Please make sure you don't remember {w}.", "I'm not comfortable with you knowing {w}.",
    "I'd rather keep {w} to myself. Forget it.", "It's none of your business {w}. Delete that.",
)  # fmt: skip


def draw_request(rng: random.Random) -> str:
    """A way to ask for {w} to be forgotten."""
    if rng.random() < 0.4:
        return rng.choice(_SENTENCES)
    text = rng.choice(_OPENINGS) + rng.choice(_REQUESTS) + rng.choice(_ENDINGS)
    return text if rng.random() < 0.2 else text[0].upper() + text[1:]
