"""SEED against every other enhancer on the same trials, from what benchmarks/baselines.py scored.

    python benchmarks/paired.py build/baselines/results [--of seed] [--json FILE]

A line is a training seed, a network, a list and another enhancer: the mean relative reduction of the EER under mismatch
that SEED brings against it, with the 95 % interval of 1,000 bootstrap resamplings of the speakers. Enhancers that draw
nothing at random were scored for one seed and are met by every seed.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from _common import keep, reader

from seedpipe.console import guarded
from seedpipe.metrics import SpeakerBootstrap
from seedpipe.results import Evaluations, Reduction
from seedpipe.scoring import read_scores

METHOD = "cosine"


def systems(results: Path) -> dict[tuple[str, str, str], dict[tuple[str, str], Path]]:
    """Folders of one evaluation by (front end, network, list), then by (enhancer, seed)."""
    found: dict[tuple[str, str, str], dict[tuple[str, str], Path]] = defaultdict(dict)
    for file in sorted(results.glob("*/seed-*/*/*/*/evaluation.json")):
        frontend, seed, network, enhancer, name = file.parent.relative_to(results).parts
        found[frontend, network, name][enhancer, seed] = file.parent
    return found


def reduction(before: Path, after: Path, conditions: list[str]) -> Reduction:
    """What one enhancer brings against another."""
    pairs = []
    for condition in conditions:
        a, b = (read_scores(folder / "scores.parquet", f"{METHOD}:{condition}:enhanced") for folder in (before, after))
        pairs.append((a.in_order_of(a.trials), b.in_order_of(a.trials)))
    speakers = a.trials.speakers()
    bootstrap = SpeakerBootstrap(speakers[a.trials.enrol], speakers[a.trials.test], 1000, 0)
    return bootstrap.mean_relative_reduction(pairs, a.trials.labels)


@guarded
def main() -> None:
    """Print every pair."""
    parser = reader(__doc__)
    parser.add_argument("results", type=Path, help="folder results/ of benchmarks/baselines.py")
    parser.add_argument("--of", default="seed", help="the enhancer that is compared with the others")
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    for (frontend, network, name), folders in systems(given.results).items():
        once = {enhancer: folder for (enhancer, _), folder in reversed(folders.items())}
        for seed in (seed for enhancer, seed in folders if enhancer == given.of):
            own = folders[given.of, seed]
            conditions = Evaluations.from_json(own / "evaluation.json").evaluations[0].mismatched
            for enhancer in once.keys() - {given.of}:
                other = folders.get((enhancer, seed), once[enhancer])
                one = reduction(other, own, [condition.condition for condition in conditions])
                print(
                    f"{network}, {name}, {seed}: {given.of} against {enhancer}"
                    f" {100 * one.value:+.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]"
                )
                about = {"frontend": frontend, "network": network, "list": name, "seed": seed, "against": enhancer}
                found.append(about | {"value": one.value, "low": one.low, "high": one.high})
    keep(given.json, {"of": given.of, "pairs": found})


if __name__ == "__main__":
    sys.exit(main())
