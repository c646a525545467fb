"""The hand-written lines: read, told apart, refused where a dialogue is out of turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.adapter.lines import load_lines
from training.data.synthetic.wordings import HERE
from varda_chat.errors import DataError
from varda_chat.models.chat_format import NOTE_STATEMENTS


def test_the_hand_written_lines_are_read_and_told_apart() -> None:
    lines, held = load_lines(validation=False), load_lines(validation=True)
    for ours, theirs in (
        (lines.exchanges, held.exchanges),
        (lines.dialogues, held.dialogues),
        (lines.noted, held.noted),
        (lines.asides, held.asides),
        (lines.recalls, held.recalls),
    ):
        assert len(ours) > 15 * len(theirs) > 0
        assert not set(ours) & set(theirs)
    assert all(len(dialogue) % 2 == 0 for dialogue in lines.dialogues)
    assert not set(lines.asides) & set(lines.recalls)
    assert {each.asks for each in lines.noted} == {True, False}
    assert max(len(each.found) for each in lines.noted) == NOTE_STATEMENTS


@pytest.mark.parametrize("turns", [[], [["user", "Hi."]], [["varda", "Hi."], ["user", "Hi."]]])
def test_a_dialogue_out_of_turn_is_refused(turns: list[list[str]], tmp_path: Path) -> None:
    for path in HERE.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "dialogues.jsonl").write_text(json.dumps({"turns": turns}) + "\n")
    with pytest.raises(DataError, match=r"dialogues\.jsonl, line 1: "):
        load_lines(validation=True, directory=tmp_path)
