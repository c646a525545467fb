"""What is exported is read again, in every format, whatever was said."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varda_chat.errors import VardaError
from varda_chat.memory.export import FORMATS, Format, format_of, lines_of, read_export
from varda_chat.memory.records import Imported, NewStatement, NewVector
from varda_chat.text import one_line, sanitize

NOW = 2e9
SPECIAL = st.text("-+=@'\"\\`*_{}[]<>#|~&!.,;:)(\n\t 10ax\u00e9\U0001f600", max_size=40)
TEXTS = (SPECIAL | st.text(max_size=60)).map(lambda text: sanitize(text).strip()).filter(bool)
TIMES = st.floats(0, NOW)


@st.composite
def imported(draw: st.DrawFn) -> Imported:
    floats = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3)
    vectors = draw(st.lists(floats, max_size=2))
    return Imported(
        NewStatement(
            draw(TEXTS),
            draw(st.sampled_from(["user", "assistant"])),
            tuple(NewVector(np.array(each, np.float32), 7, "dog", 0.5) for each in vectors),
        ),
        session=draw(st.text(max_size=64).map(lambda text: one_line(text, 64))),
        created_at=draw(TIMES),
        recalled_at=draw(st.none() | TIMES),
        recall_count=draw(st.integers(0, 1_000_000)),
        pinned=draw(st.booleans()),
        fingerprint="model" if vectors else "",
    )


def read(data: bytes) -> list[Imported | str]:
    return [found for _, found in read_export(BytesIO(data), NOW)]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("windows", [False, True])
@given(records=st.lists(imported(), max_size=4))
@settings(deadline=None)
def test_an_export_is_read_again(kind: Format, windows: bool, records: list[Imported]) -> None:
    data = b"".join(lines_of(records, vectors=True, kind=kind))
    if windows:
        data = data.replace(b"\n", b"\r\n")
    again = read(data)
    for before, after in zip(records, again, strict=True):
        assert isinstance(after, Imported), after
        if kind == "jsonl":
            assert [(each.vector.tolist(), each.token_id, each.token, each.strength) for each in after.new.vectors] == [
                (each.vector.tolist(), 7, "dog", 0.5) for each in before.new.vectors
            ]
            assert after.fingerprint == before.fingerprint
        bare = replace(before, new=replace(before.new, vectors=()), fingerprint="")
        assert replace(after, new=replace(after.new, vectors=()), fingerprint="") == bare


def test_markdown_takes_items_added_by_hand() -> None:
    data = b"# Memories\n\n- My dog is called Rimba.\n- I live in Lisbon,\n  by the *sea*.\n\nnot an item\n"
    first, second = read(data)
    assert isinstance(first, Imported)
    assert isinstance(second, Imported)
    assert (first.new.text, first.new.role, first.created_at) == ("My dog is called Rimba.", "user", NOW)
    assert second.new.text.startswith("I live in Lisbon,\nby the *sea*.")


def test_csv_takes_the_columns_that_there_are() -> None:
    data = '\ufeffPinned,TEXT,other\nyes,\'Tis me,1\n,"two\nlines",\n\n,,\nno,Tea,x\n'.encode()
    found = read(data)
    assert [each.new.text for each in found if isinstance(each, Imported)] == ["'Tis me", "two\nlines", "Tea"]
    assert [each.pinned for each in found if isinstance(each, Imported)] == [True, False, False]
    assert [each for each in found if isinstance(each, str)] == ["the text is empty"]


def test_a_spreadsheet_takes_no_text_for_a_formula() -> None:
    record = Imported(NewStatement("=HYPERLINK(1)", "user", ()), "@s", 1.0, None, 0, False, "")
    table = b"".join(lines_of([record], vectors=False, kind="csv")).decode()
    assert "\n'=HYPERLINK(1),user,'@s," in table
    assert read(table.encode()) == [record]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"text,created_at\nok,1\nx,soon\ny,-1\n\xff,1\nok,2\n" + b"z" * 5_000_000 + b"\nok,3\n", [3, 4, 5, 7]),
        (b"# Memories\n- ok\n  <!-- {half} -->\n- ok\n  <!-- {\"role\": \"pope\"} -->\n- ok\n\xff\n- ok\n", [2, 4, 7]),
    ],
)  # fmt: skip
def test_a_bad_line_costs_that_line(data: bytes, lines: list[int]) -> None:
    found = list(read_export(BytesIO(data), NOW))
    assert sorted(number for number, each in found if isinstance(each, str)) == lines
    assert sum(isinstance(each, Imported) for _, each in found) >= 2


def test_what_is_no_export_is_refused_and_learn_is_named() -> None:
    for data in (b"", b"hello\n", b"x" * 5_000_000, b'[{"mapping": {}}]', b"a,b\n1,2\n"):
        with pytest.raises(VardaError, match="memory learn"):
            read(data)


def test_the_suffix_names_the_format() -> None:
    names = ("a.md", "a.Markdown", "a.CSV", "a.jsonl", "a", "-")
    assert [format_of(Path(name)) for name in names] == ["md", "md", "csv", "jsonl", "jsonl", "jsonl"]
