"""What docs/security.md promises of the code: no network, nothing unpickled, nothing evaluated, no telemetry."""

from __future__ import annotations

import ast
import configparser
import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for folder in ("seedpipe", "stages") for path in (REPOSITORY / folder).rglob("*.py"))
WATCHED = """
import json, sys
seen = []
names = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "pickle.find_class")
sys.addaudithook(lambda event, _: seen.append(event) if event in names else None)
"""
IMPORTS = """
import importlib, pkgutil, seedpipe
from seedpipe.errors import MissingExtraError
missing = {"sklearn", "onnxruntime", "speechbrain", "ray", "distributed", "pyarrow", "mkdocs"}
count = 0
for module in pkgutil.walk_packages(seedpipe.__path__, "seedpipe."):
    if module.name.endswith(("__main__", "_espeak_process")):
        continue
    try:
        importlib.import_module(module.name)
        count += 1
    except ImportError as error:
        assert (error.name or "").partition(".")[0] in missing, error
    except MissingExtraError:  # which names the extra
        continue
print(json.dumps({"modules": count, "events": sorted(set(seen))}))
"""
COMMANDS = """
from pathlib import Path
import numpy as np
from typer.testing import CliRunner
from seedpipe.cli import app
Path("trials.txt").write_text("1 a b\\n0 a c\\n1 c d\\n0 b d\\n")
rng = np.random.default_rng(0)
embeddings = np.repeat(rng.standard_normal((2, 8)), 2, axis=0) + 0.1 * rng.standard_normal((4, 8))
np.savez("in.npz", embeddings=embeddings.astype("f4"), utterance=np.array(list("abcd")))
runs = [
    ["trials", "check", "trials.txt"],
    ["cache", "import", "cache", "--network", "n", "--embeddings", "in.npz"],
    ["cache", "verify", "cache"],
    ["cache", "export", "cache", "out.npz"],
    ["score", "in.npz", "in.npz", "trials.txt", "--out", "scores.csv"],
]
codes = [CliRunner().invoke(app, arguments).exit_code for arguments in runs]
print(json.dumps({"codes": codes, "events": sorted(set(seen))}))
"""


def _watched(script: str, folder: Path) -> dict[str, object]:
    command = [sys.executable, "-c", WATCHED + script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_importing_every_module_touches_no_network_and_unpickles_nothing(tmp_path: Path) -> None:
    found = _watched(IMPORTS, tmp_path)
    assert found["modules"] > 80
    assert found["events"] == []


def test_commands_touch_no_network_and_unpickle_nothing(tmp_path: Path) -> None:
    found = _watched(COMMANDS, tmp_path)
    assert found["codes"] == [0] * 5
    assert found["events"] == []


def _calls(path: Path) -> list[tuple[str, ast.Call]]:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [(ast.unparse(call.func), call) for call in calls]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_nothing_is_evaluated_unpickled_or_fetched(path: Path) -> None:
    for name, call in _calls(path):
        options = {option.arg: ast.unparse(option.value) for option in call.keywords}
        assert name not in {"eval", "exec", "os.system", "os.popen", "yaml.load", "pickle.load", "pickle.loads"}
        assert "urlopen" not in name
        assert name != "torch.load" or options.get("weights_only") == "True"
        assert not name.endswith((".load", ".read_array")) or "np" not in name or options["allow_pickle"] == "False"
        assert options.get("shell", "False") == "False"


def test_dvc_sends_no_statistics_and_looks_for_no_news() -> None:
    config = configparser.ConfigParser()
    config.read_string("\n".join(line.strip() for line in (REPOSITORY / ".dvc/config").read_text().splitlines()))
    assert not config.getboolean("core", "analytics")
    assert not config.getboolean("core", "check_update")
