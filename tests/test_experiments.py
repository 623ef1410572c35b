"""docs/experiments.md says what docs/experiments.csv holds."""

from __future__ import annotations

import runpy
from pathlib import Path

import pandas as pd
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_tables_of_the_page_are_those_of_the_csv() -> None:
    script = runpy.run_path(str(DOCS / "images" / "experiments.py"))
    made = script["tables"](pd.read_csv(DOCS / "experiments.csv"))
    assert made in (DOCS / "experiments.md").read_text(encoding="utf-8"), "run docs/images/experiments.py"


def test_the_drawings_come_out_of_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'test'")
    script = runpy.run_path(str(DOCS / "images" / "experiments.py"))
    monkeypatch.setitem(script["main"].__globals__, "HERE", tmp_path)
    script["main"]()
    for name in ("experiments_draws.svg", "experiments_timestep.svg"):
        assert "<svg" in (tmp_path / name).read_text(encoding="utf-8")
        assert (DOCS / "images" / name).is_file()
