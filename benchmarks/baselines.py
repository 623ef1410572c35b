"""SEED against baselines on real speech: every network, front end, enhancer and training seed, in the paper's tables.

    python benchmarks/baselines.py --data DIR --out build/baselines --enhancers seed regression whitening drl \
        --seeds 0 1 2

DIR has the layout of docs/data.md, and every eval/trials_NAME.txt in it is an evaluation list. Under --out come caches,
models, an evaluation.json for each combination, and tables/ over all that results/ there holds: a later run adds to it,
so another DIR or other parameters want another --out. What draws nothing at random runs once.
`drl` learns from speaker labels: --speaker-pattern is the regular expression whose group is the speaker in the name of
a training utterance. Without --frontends there is none before the network; the name `none` stands for that one. With
--models, the folder models/ of an earlier run, nothing is trained: its enhancers are scored on the lists of this DIR.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from _common import HERE, PARAMS, Paths, named, on_data, prepare, reader, train_and_score, training_length

from seedpipe.console import guarded, say
from seedpipe.params import EnhancerKind, Params, load_params
from seedpipe.results.tables import write_tables

NONE = "none"
SAME_FOR_EVERY_SEED = ("whitening", "ridge", "centering", NONE)


@dataclass(frozen=True)
class RunPaths(Paths):
    """Folders of one front end and one training seed; manifests and caches are those of all seeds."""

    out: Path = Path()
    models: Path = Path()
    run: Path = Path()

    def model(self, network: str, enhancer: str) -> Path:
        """Enhancer trained for a network."""
        return self.models / self.run / network / enhancer

    def results(self, network: str, enhancer: str, corpus: str) -> Path:
        """Scores and metrics of a network and an enhancer on an evaluation list."""
        return self.out / "results" / self.run / network / enhancer / corpus

    def training(self, network: str, enhancer: str) -> Path:
        """Figures and curve of a training."""
        return self.out / "results" / self.run / network / enhancer / "training.json"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = reader(__doc__, json=False)
    parser.add_argument("--data", type=Path, required=True, help="data folder, see docs/data.md")
    parser.add_argument("--out", type=Path, default=HERE / "build" / "baselines", help="where everything goes")
    parser.add_argument("--networks", nargs="+", default=["dvector"], help="frozen speaker networks, by name or folder")
    parser.add_argument("--enhancers", nargs="+", default=["seed"], choices=get_args(EnhancerKind))
    parser.add_argument("--frontends", nargs="+", default=[NONE], help="see docs/frontends.md")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="training seeds")
    parser.add_argument("--steps", type=int, help="length of a training, instead of that in the parameters")
    parser.add_argument("--models", type=Path, help="take the enhancers of an earlier run")
    parser.add_argument("--speaker-pattern", default="", help="for drl")
    parser.add_argument("--params", type=Path, default=PARAMS, help="parameters of the stages")
    parser.add_argument("--bench", type=Path, help="CSV or JSON of seedpipe bench, for Table 2")
    return parser.parse_args()


def settle(given: argparse.Namespace, frontend: str, seed: int) -> Params:
    """Parameters with this data folder, front end and seed."""
    loaded = load_params(given.params)
    pattern = given.speaker_pattern or loaded.enhancers.speaker_pattern
    drl = loaded.enhancers.drl.model_copy(update={"seed": seed})
    networks = tuple(named(network)[0] for network in given.networks)
    return on_data(
        loaded,
        given.data,
        extract={"networks": networks, "frontend": "" if frontend == NONE else frontend},
        train={"seed": seed, **training_length(given)},
        enhancers={"speaker_pattern": pattern, "drl": drl},
        score={"methods": ("cosine",)},
    )


def paths_of(params: Params, out: Path, models: Path, folders: dict[str, Path], run: Path) -> RunPaths:
    """Folders of a run; caches are kept apart by what decides their contents."""
    extract = params.extract.model_copy(update={"networks": ("any",)})
    data = params.manifest
    deciding = f"{data.root}\n{data.eval_share}\n{data.group_pattern}\n{extract.model_dump_json()}"
    base = out / "caches" / hashlib.sha256(deciding.encode()).hexdigest()[:12]
    return RunPaths(base, folders, out, models, run)


@guarded
def main() -> None:
    """Run the matrix and write the tables."""
    given = arguments()
    out, train = given.out.resolve(), given.models is None
    models = out / "models" if train else given.models.resolve()
    folders = dict(item for network in given.networks for item in named(network)[1].items())
    for frontend, seed in itertools.product(given.frontends, given.seeds):
        params = settle(given, frontend, seed)
        paths = paths_of(params, out, models, folders, Path(frontend, f"seed-{seed}"))
        if seed == given.seeds[0]:
            prepare(params, paths, train=train)
        for network, enhancer in itertools.product(params.extract.networks, given.enhancers):
            if seed == given.seeds[0] or enhancer not in SAME_FOR_EVERY_SEED:
                train_and_score(params, paths, network, enhancer, train=train)
    written = write_tables([out / "results"], out / "tables", given.bench)
    print(written[0].read_text(encoding="utf-8"))
    say("\n".join(map(str, written)))


if __name__ == "__main__":
    sys.exit(main())
