"""A small project, made by ``dvc repro`` once per test session (fixture ``demo_project``), and copies of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SMALL = {
    "train_voices": 6,
    "eval_voices": 10,
    "train_utterances": 3,
    "eval_utterances": 4,
    "draws": 2,
    "crops": 2,
    "steps": 6,
    "bootstrap": 200,
    "jobs": 1,  # a worker takes longer to start than this work takes
}


def small_params() -> str:
    """params.yaml of the repository with small numbers."""
    text = (HERE / "params.yaml").read_text(encoding="utf-8")
    for key, value in SMALL.items():
        text, count = re.subn(rf"^( +{key}:) \d+$", rf"\1 {value}", text, flags=re.MULTILINE)
        assert count >= 1, key
    assert "names: [seed, whitening, ridge, centering]" in text
    return text.replace("names: [seed, whitening, ridge, centering]", "names: [seed]")


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with the command ``seedpipe`` and the stages of this checkout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def copied(project: Path, folder: Path) -> Path:
    """A copy that may be changed, without what DVC had in hand."""
    return Path(shutil.copytree(project, folder, ignore=shutil.ignore_patterns("tmp", "__pycache__")))


def make_project(folder: Path) -> Path:
    """A checkout without Git, after one ``dvc repro`` with small parameters."""
    folder.mkdir()
    shutil.copytree(HERE / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE / "networks", folder / "networks", ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(HERE / "dvc.yaml", folder)
    (folder / "params.yaml").write_text(small_params(), encoding="utf-8")
    (folder / ".dvc").mkdir()
    config = (HERE / ".dvc" / "config").read_text(encoding="utf-8")
    (folder / ".dvc" / "config").write_text(config.replace("[core]", "[core]\n    no_scm = true"), encoding="utf-8")
    assert "analytics = false" in config
    run(folder, "dvc", "repro")
    return folder
