"""Files made on purpose are refused or read within bounded memory and time; nothing of them runs or lands elsewhere.

Every case of ``hostile.py`` once made a reader fail, hang, fill the memory or raise somebody else's error, or stands
for a kind of file that does so elsewhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hostile
import pytest

HERE = Path(__file__).resolve().parent
HARMLESS = {
    "list: words parted by a file separator",
    "npz: members that would lie outside",
    "shard: the heap of its texts damaged",
    "aiff: 2**32 frames promised",
}
"""Cases that are read: what is odd in them is not used."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    environment = os.environ | {"PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "hostile.py"), str(tmp_path_factory.mktemp("hostile"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {result["case"]: result for result in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", hostile.CASES)
def test_a_hostile_file_is_refused(outcomes: dict[str, dict[str, Any]], case: str) -> None:
    found = outcomes[case]
    assert found["outcome"].partition(":")[0] == ("valid" if case in HARMLESS else "refused"), found["outcome"]
    assert not found["ran"], "a command that the file names was run"
    assert not found["outside"], "something was written outside of the folder"
