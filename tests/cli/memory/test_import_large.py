"""An import of a great many records: in bounded memory, undone whole. Slow; prints seconds and memory."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from varda_chat.memory import peek

RECORDS = 200_000
MOST_MEGABYTES = 300

PROBE = """
import re, resource, sys
from pathlib import Path
from click.testing import CliRunner
from varda_chat.cli.main import main
result = CliRunner().invoke(main, ["memory", *sys.argv[1:], "--json"])
print(result.stdout[:500].splitlines()[0] if result.exit_code == 0 else result.output)
# getrusage's figure is never below what the process held that started this one
status = Path("/proc/self/status")
most = re.search(r"VmHWM:\\s*(\\d+)", status.read_text()) if status.exists() else None
print((int(most[1]) if most else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // 1024)
"""


def command(*arguments: object) -> tuple[str, int]:
    """What a memory command printed first, and the most megabytes it took."""
    line = [sys.executable, "-c", PROBE, *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=dict(os.environ))
    said, megabytes = done.stdout.splitlines()
    return said, int(megabytes)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_import_of_many_records_takes_bounded_memory(
    tmp_path: Path, own_data_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, rng = tmp_path / "many.jsonl", np.random.default_rng(0)
    with file.open("w") as out:
        out.write('{"varda_chat_memory": 1}\n')
        for number in range(RECORDS):
            row = base64.b64encode(rng.standard_normal(64).astype("<f4").tobytes()).decode()
            vector = {"token_id": 1, "token": "t", "strength": 0.5, "vector": row}
            out.write(
                json.dumps({"text": f"n{number}", "role": "user", "fingerprint": "m", "vectors": [vector]}) + "\n"
            )
    said, megabytes = command("import", file)
    done = json.loads(said)
    with capsys.disabled():
        print(f"\n{RECORDS} records: {done['seconds']} s, at most {megabytes} MB")
    assert (done["imported"], done["not_kept"]) == (RECORDS, RECORDS - 10_000)
    assert megabytes < MOST_MEGABYTES
    directory = own_data_directory / "profiles" / "default"
    assert peek(directory).vectors == RECORDS
    command("undo")
    assert (peek(directory).statements, peek(directory).vectors) == (0, 0)
