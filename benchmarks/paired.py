"""SEED against every other enhancer on the same trials, from what benchmarks/baselines.py scored.

    python benchmarks/paired.py build/baselines/results [--of seed] [--beside NETWORK] [--json FILE]

A line is a training seed, a network, a list and another system: the mean relative reduction of the EER under mismatch
that SEED brings against it and the difference of the clean EER in points, with the 95 % intervals of 1,000 bootstrap
resamplings of the speakers. Enhancers that draw nothing at random were scored for one seed and are met by every seed.
With --beside, SEED of every other network is compared with that network alone and with its SEED: what a second view of
the same audio brings, for example.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _common import keep, reader

from seedpipe.console import guarded
from seedpipe.metrics import SpeakerBootstrap
from seedpipe.results import Evaluations
from seedpipe.scoring import ScoreFile, read_scores

METHOD = "cosine"


@dataclass(frozen=True)
class Scored:
    """One system on one list."""

    name: str
    folder: Path
    system: str = "enhanced"

    def scores(self, condition: str) -> ScoreFile:
        """Of one condition."""
        return read_scores(self.folder / "scores.parquet", f"{METHOD}:{condition}:{self.system}")


def systems(results: Path) -> dict[tuple[str, str, str], dict[tuple[str, str], Path]]:
    """Folders of one evaluation by (front end, network, list), then by (enhancer, seed)."""
    found: dict[tuple[str, str, str], dict[tuple[str, str], Path]] = defaultdict(dict)
    for file in sorted(results.glob("*/seed-*/*/*/*/evaluation.json")):
        frontend, seed, network, enhancer, name = file.parent.relative_to(results).parts
        found[frontend, network, name][enhancer, seed] = file.parent
    return found


def compare(before: Scored, after: Scored) -> dict[str, list[float]]:
    """What one system brings against another: value, low and high of the reduction and of the clean difference."""
    metrics = Evaluations.from_json(after.folder / "evaluation.json").evaluations[0]
    pairs = {}
    for condition in ("clean", *(each.condition for each in metrics.mismatched)):
        a, b = before.scores(condition), after.scores(condition)
        pairs[condition] = a.in_order_of(a.trials), b.in_order_of(a.trials)
    speakers, clean = a.trials.speakers(), pairs.pop("clean")
    bootstrap = SpeakerBootstrap(speakers[a.trials.enrol], speakers[a.trials.test], 1000, 0)
    eer = bootstrap.mean_relative_reduction(list(pairs.values()), a.trials.labels)
    change = bootstrap.paired(*clean, a.trials.labels)
    return {
        "eer": [100 * each for each in (eer.value, eer.low, eer.high)],
        "clean": [100 * each for each in (change.difference, change.low, change.high)],
    }


def comparisons(given: argparse.Namespace) -> Iterator[tuple[dict[str, str], Scored, Scored]]:
    """Every pair of systems, the other one first, and what it is."""
    found = systems(given.results)
    for (frontend, network, name), folders in found.items():
        once = {enhancer: folder for (enhancer, _), folder in reversed(folders.items())}
        for seed in (seed for enhancer, seed in folders if enhancer == given.of):
            own = Scored(given.of, folders[given.of, seed])
            others = [Scored(each, folders.get((each, seed), once[each])) for each in once.keys() - {given.of}]
            if given.beside and (beside := found[frontend, given.beside, name].get((given.of, seed))):
                both = ("alone", "network"), (given.of, "enhanced")
                others = [Scored(f"{given.beside} {each}", beside, system) for each, system in both]
            about = {"frontend": frontend, "network": network, "list": name, "seed": seed}
            yield from ((about, other, own) for other in others if other != own and network != given.beside)


@guarded
def main() -> None:
    """Print every pair."""
    parser = reader(__doc__)
    parser.add_argument("results", type=Path, help="folder results/ of benchmarks/baselines.py")
    parser.add_argument("--of", default="seed", help="the enhancer that is compared with the others")
    parser.add_argument("--beside", default="", metavar="NETWORK", help="compare other networks with this one")
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    for about, other, own in comparisons(given):
        one = compare(other, own)
        eer, clean = (
            "{:+.1f} % [{:.1f}, {:.1f}]".format(*one["eer"]),
            "{:+.2f} [{:+.2f}, {:+.2f}]".format(*one["clean"]),
        )
        where = f"{about['network']}, {about['list']}, {about['seed']}"
        print(f"{where}: {own.name} against {other.name} {eer}, clean {clean}")
        found.append({**about, "against": other.name, **one})
    keep(given.json, {"of": given.of, "pairs": found})


if __name__ == "__main__":
    sys.exit(main())
