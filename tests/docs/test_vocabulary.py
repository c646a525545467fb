"""docs/glossary.md: the words that it gave up are in no code, help, error or document, but for names that must stay."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

GLOSSARY = ROOT / "docs" / "glossary.md"
EVERYWHERE = ("varda_chat/", "training/", "tests/", "docs/", "README.md", "CONTRIBUTING.md", "Makefile")
HISTORY = ("docs/decisions/", "docs/experiments.md")
"""What tells how things came about uses the words of its time; CHANGELOG.md does too."""
QUOTES = ("varda_chat/checkpoints/", "docs/figures/")
"""Cards and figures quote what people and models said."""
KEPT = (
    # keys of the configuration and names of weights in checkpoints
    "admission_token_id", "admission_threshold", "null_result", "null_by_state", "null_read", "null_score", "fc_null",
    "null_similarity", "read_null", "follow_copies", "follow_score", "follow_similarity", "memory_reader",
    # a method of the screens that starts a conversation over
    "begin_anew",
    # a trigger of the sessions' database
    "turns_gone",
)  # fmt: skip
"""Names that stay, most of them because files of people hold them."""


@dataclass(frozen=True)
class Word:
    """A word that was given up (a pattern), the word of the glossary for it, and where (beginnings of paths)."""

    pattern: str
    use: str
    where: tuple[str, ...] = EVERYWHERE


WORDS = (
    Word(r"blank[ _]?memor(y|ies)", "EmptyMemory"),
    Word(r"(one|the) door", "sanitize"),
    Word(r"the house", "directory"),
    Word(r"(sure_?)?admissions?", "abstention"),
    Word(r"go_on|go(es|ing)? on with", "resume"),
    Word(r"(made |make )?anew", "rebuild"),
    Word(r"null[ _]results?|null_scores", "no-match slot"),
    Word(r"statement[ _]means?", "segment mean"),
    Word(r"at_layer|before_layer", "apply_memory"),
    Word(r"followable|last_pool", "copy chain"),
    Word(r"MemoryReader|the stream", "memory layer", ("varda_chat/models/", "training/")),
    Word(r"share[ _]lost", "contrastive loss"),
    Word(r"(delete_)?strangers?", "negatives", ("training/episodes/", "training/losses/", "training/adapter/")),
    Word(r"distractors?", "negatives", ("training/episodes/", "training/losses/")),
    Word(r"(keep_)?dead", "deleted_turn", ("training/", "tests/training/")),
    Word(r"first_says", "process group"),
    Word(
        r"gone",
        "forget",
        (
            "varda_chat/",
            "training/cli/",
            "training/data/sources/",
            "training/episodes/",
            "training/evaluation/",
            "docs/guide.md",
        ),
    ),
    Word(
        r"facts?",
        "memory",
        (
            "varda_chat/api/",
            "varda_chat/cli/",
            "varda_chat/config/",
            "varda_chat/ingest/",
            "varda_chat/memory/",
            "varda_chat/session/",
            "varda_chat/storage/",
            "varda_chat/transcripts/",
            "varda_chat/tui/",
            "varda_chat/web/",
            "docs/guide.md",
            "docs/memory-engine.md",
            "docs/quickstart.md",
            "docs/front-ends.md",
        ),
    ),
    Word(r"record(?!\.)", "statement", ("varda_chat/memory/", "varda_chat/cli/", "varda_chat/tui/", "docs/guide.md")),
    Word(r"tak(e|es|en|ing) out( again)?", "restore", ("varda_chat/", "docs/")),
)
FOR_PROGRAMMERS = ("docs/architecture.md", "docs/training.md", "docs/memory-engine.md", "CONTRIBUTING.md")


def pages() -> Iterator[tuple[str, str]]:
    """Every file that the glossary holds for, by its path, and its text."""
    files = [ROOT / name for name in EVERYWHERE if not name.endswith("/")]
    for directory in EVERYWHERE:
        if directory.endswith("/"):
            files += [each for each in (ROOT / directory).rglob("*") if each.suffix in (".py", ".md", ".tcss")]
    for file in sorted(files):
        path = file.relative_to(ROOT).as_posix()
        if file not in (GLOSSARY, Path(__file__)) and not path.startswith((*HISTORY, *QUOTES)):
            yield path, file.read_text("utf-8")


PAGES = tuple(pages())


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.pattern)
def test_a_word_that_was_given_up_is_nowhere(word: Word) -> None:
    pattern = re.compile(rf"(?<![A-Za-z])(?:{word.pattern})(?![a-z])", re.IGNORECASE)
    kept = re.compile("|".join(map(re.escape, KEPT)))
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in PAGES
        if path.startswith(word.where)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(kept.sub("", line))
    ]
    assert not found, f"say {word.use}"


def test_what_is_said_instead_is_in_the_glossary() -> None:
    page = GLOSSARY.read_text("utf-8")
    assert not [word.use for word in WORDS if word.use not in page]


def remarks(text: str) -> Iterator[str]:
    """Docstrings and comments of a module, without the names that they quote."""
    for node in ast.walk(ast.parse(text)):
        for each in node.body if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) else ():
            if (
                isinstance(each, ast.Expr)
                and isinstance(each.value, ast.Constant)
                and isinstance(each.value.value, str)
            ):
                yield re.sub(r"``[^`]*``", "", each.value.value)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def test_a_place_on_disk_is_a_directory_but_on_the_screen() -> None:
    """Help texts, which are docstrings of commands, and the screens may say folder."""
    found = [
        f"{path}: {remark.strip().splitlines()[0]}"
        for path, text in PAGES
        if path.endswith(".py") and not path.startswith(("varda_chat/cli/", "varda_chat/tui/"))
        for remark in remarks(text)
        if re.search(r"\bfolders?\b(?!:)", remark, re.IGNORECASE)
    ]
    found += [path for path, text in PAGES if path in FOR_PROGRAMMERS and re.search(r"\bfolders?\b", text)]
    assert not found


HUB = ("upload_folder", "folder_path")
"""Names of huggingface_hub's own."""
OF_SCREENS = {("varda_chat/models/catalog.py", "folder"), ("varda_chat/tui/screens/picking.py", "folder")}
"""``Model.folder``, which the screen that picks a model reads."""


def names(text: str) -> Iterator[tuple[int, str]]:
    """The names of a module's code, each with its line; not those inside f-strings."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def test_names_in_code_say_directory() -> None:
    found = [
        f"{path}:{line}: {name}"
        for path, text in PAGES
        if path.endswith(".py")
        for line, name in names(text)
        if "folder" in name.lower() and name not in HUB and (path, name) not in OF_SCREENS
    ]
    assert not found
