"""What README.md shows of results and of the demonstration: written into it, where a test compares them.

    python docs/images/readme.py                  # tables from docs/readme.csv, the rest from reports/report.txt
    python docs/images/readme.py RESULTS [...]    # first into the CSV, from what benchmarks/baselines.py scored

A line of the CSV is an enhancer on a list under a condition, by cosine scores with training seed 0: its EER in %, or,
for the condition ``reduction``, that of the EER in %, with its interval and what the paired difference says of it.
``make demo`` leaves reports/report.txt; where it is not there, what README shows of it stays.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from seedpipe.results import Estimate, Evaluations, Reduction
from seedpipe.results.wording import verdict

ROOT = Path(__file__).resolve().parents[2]
README, REPORT, TABLE = ROOT / "README.md", ROOT / "reports" / "report.txt", ROOT / "docs" / "readme.csv"
NETWORKS = {"campplus": "CAM++, short tests", "dvector": "d-vector of 2018"}
LISTS = {"an4": "AN4", "speechocean": "speechocean", "phrases": "`phrases`", "sentences": "`sentences`"}
ALONE = "network alone"
SYSTEMS = {"": ALONE, "ridge": "ridge", "whitening": "whitened, without training", "seed": "with SEED"}
CONDITIONS = ("clean", "noise", "music", "reverb", "noise+reverb")


def rows(folders: list[Path]) -> Iterator[dict[str, object]]:
    """A line for each system and condition that README shows."""
    for folder in folders:
        for file in sorted(folder.rglob("evaluation.json")):
            one = Evaluations.from_json(file)[0]
            if one.method != "cosine" or one.train_seed not in (0, None):
                continue
            for condition in one.conditions:
                systems = condition.systems
                named = (
                    {"": systems.network, one.enhancer: systems.enhanced} if systems.enhanced else {"": systems.network}
                )
                for enhancer, system in named.items():
                    judged = verdict(condition.difference.eer) if enhancer and condition.difference else ""
                    yield _row(one.network, one.list, enhancer, condition.condition, system.eer, judged)
            if one.enhancer == "seed" and one.mean_relative_reduction:
                yield _row(one.network, one.list, "seed", "reduction", one.mean_relative_reduction, "")


def _row(
    network: str, name: str, enhancer: str, condition: str, found: Estimate | Reduction, judged: str
) -> dict[str, object]:
    figures = {
        key: None if getattr(found, key) is None else round(100 * getattr(found, key), 2)
        for key in ("value", "low", "high")
    }
    return {
        "network": network,
        "list": name,
        "enhancer": enhancer,
        "condition": condition,
        **figures,
        "verdict": judged,
    }


def tables(frame: pd.DataFrame) -> tuple[str, str]:
    """The EER of CAM++ on AN4 under each condition, and the reductions by SEED on every list."""
    found = frame.fillna({"enhancer": "", "verdict": ""}).set_index(["network", "list", "enhancer", "condition"])
    first = ["| condition | " + " | ".join(SYSTEMS.values()) + " |", "|---" * (1 + len(SYSTEMS)) + "|"]
    for condition in CONDITIONS:
        cells = [_cell(found.loc["campplus", "an4", enhancer, condition], ".1f") for enhancer in SYSTEMS]
        first.append(f"| {condition} | " + " | ".join(cells) + " |")
    second = ["| network | " + " | ".join(LISTS.values()) + " |", "|---" * (1 + len(LISTS)) + "|"]
    for network, title in NETWORKS.items():
        cells = [_cell(found.loc[network, name, "seed", "reduction"], ".0f", " %") for name in LISTS]
        second.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(first), "\n".join(second)


def _cell(row: pd.Series, form: str, unit: str = "") -> str:
    value = f"{row['value']:{form}}{unit}"
    value = f"**{value}**" if row["verdict"] in ("better", "worse") else value
    return value if math.isnan(row["low"]) else f"{value} [{row['low']:{form}}, {row['high']:{form}}]"


def demonstration(report: str) -> str:
    """The part of a report for a terminal that README shows: all but the second scoring method, and what follows it."""
    headings = [match.start() for match in re.finditer(r"^\S+ on \S+ \(\w+; ", report, flags=re.MULTILINE)]
    return report[: headings[1]].strip() if len(headings) > 1 else report.strip()


def filled(readme: str, frame: pd.DataFrame, report: str) -> str:
    """README with its tables, and with its demonstration where there is a report."""
    for table in tables(frame):
        head = re.escape(table.partition("\n")[0])
        readme = re.sub(rf"^{head}\n(\|.*\n)+", lambda _, text=table: f"{text}\n", readme, flags=re.MULTILINE)
    if report:
        shown = f"```\n{demonstration(report)}\n```\n"
        readme = re.sub(r"^```\nSEED on .*?^```\n", lambda _: shown, readme, flags=re.MULTILINE | re.DOTALL)
    return readme


if __name__ == "__main__":
    if sys.argv[1:]:
        pd.DataFrame(rows([Path(each) for each in sys.argv[1:]])).drop_duplicates().to_csv(TABLE, index=False)
    report = REPORT.read_text(encoding="utf-8") if REPORT.is_file() else ""
    README.write_text(filled(README.read_text(encoding="utf-8"), pd.read_csv(TABLE), report), encoding="utf-8")
