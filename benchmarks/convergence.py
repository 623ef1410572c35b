"""How far the validation loss still falls in the last fifth of trainings of several lengths, on one cache.

    python benchmarks/convergence.py CACHE [--steps 147 336 630] [--seed 0] [--json FILE]

The limit of seedpipe.enhancers.convergence comes from these figures: see docs/training.md.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from _common import keep, reader

from seedpipe.cache import open_cache
from seedpipe.console import ProgressBar, guarded
from seedpipe.enhancers import train
from seedpipe.enhancers.convergence import last_fall
from seedpipe.params import TrainParams


@guarded
def main() -> None:
    """Train, and print a line for each length."""
    parser = reader(__doc__)
    parser.add_argument("cache", type=Path, help="training cache")
    parser.add_argument("--steps", nargs="+", type=int, default=[147, 336, 630], help="lengths")
    parser.add_argument("--seed", type=int, default=0, help="training seed")
    given = parser.parse_args()
    cache, found = open_cache(given.cache), []
    for steps in given.steps:
        params, progress = (
            TrainParams(steps=steps, seed=given.seed, safeguard=False),
            ProgressBar("train", "steps").training,
        )
        with tempfile.TemporaryDirectory() as folder:
            _, result = train(cache, Path(folder) / "model", params, progress=progress)
        last, fall = result.curve[-1].validation, last_fall(result.curve)
        found.append({"steps": steps, "epochs": result.epochs, "validation": last, "fall": fall})
        if last is not None and fall is not None:
            length = f"{steps:6,} steps, {result.epochs:g} epochs"
            print(f"{length}: validation {last:.2f}, fell by {100 * fall:.2f} % in the last fifth")
    keep(given.json, {"cache": str(given.cache), "seed": given.seed, "trainings": found})


if __name__ == "__main__":
    sys.exit(main())
