"""SEED against baselines on real speech: every network, front end, enhancer and training seed, in the paper's tables.

    python benchmarks/baselines.py --data DIR --out build/baselines --enhancers seed regression whitening drl \
        --seeds 0 1 2

DIR has the layout of docs/data.md, and every eval/trials_NAME.txt in it is an evaluation list. Under --out come caches,
models, an evaluation.json for each combination, and tables/ over all that results/ there holds: a later run adds to it,
so another DIR or other parameters want another --out. Whitening and `none` draw nothing at random and run once.
`drl` learns from speaker labels: --speaker-pattern is the regular expression whose group is the speaker in the name of
a training utterance. Without --frontends there is none before the network; the name `none` stands for that one.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from seedpipe import pipeline
from seedpipe.audio import layout
from seedpipe.console import ProgressBar, guarded, say
from seedpipe.params import EnhancerKind, Params, load_params
from seedpipe.project.paths import ProjectPaths
from seedpipe.results.tables import write_tables

HERE = Path(__file__).resolve().parents[1]
NONE = "none"
SAME_FOR_EVERY_SEED = ("whitening", NONE)


@dataclass(frozen=True)
class RunPlaces(ProjectPaths):
    """Folders of one front end and one training seed; manifests and caches are those of all seeds."""

    out: Path = Path()
    run: Path = Path()

    def model(self, network: str, enhancer: str) -> Path:
        """Enhancer trained for a network."""
        return self.out / "models" / self.run / network / enhancer

    def results(self, network: str, enhancer: str, corpus: str) -> Path:
        """Scores and metrics of a network and an enhancer on an evaluation list."""
        return self.out / "results" / self.run / network / enhancer / corpus

    def training(self, network: str, enhancer: str) -> Path:
        """Figures and curve of a training."""
        return self.out / "results" / self.run / network / enhancer / "training.json"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder, see docs/data.md")
    parser.add_argument("--out", type=Path, default=HERE / "build" / "baselines", help="where everything goes")
    parser.add_argument("--networks", nargs="+", default=["dvector"], help="frozen speaker networks")
    parser.add_argument("--enhancers", nargs="+", default=["seed"], choices=get_args(EnhancerKind))
    parser.add_argument("--frontends", nargs="+", default=[NONE], help="see docs/frontends.md")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="training seeds")
    parser.add_argument("--speaker-pattern", default="", help="for drl")
    parser.add_argument("--params", type=Path, default=HERE / "params.yaml", help="parameters of the stages")
    parser.add_argument("--bench", type=Path, help="CSV or JSON of seedpipe bench, for Table 2")
    return parser.parse_args()


def settle(given: argparse.Namespace, frontend: str, seed: int) -> Params:
    """Parameters with this data folder, front end and seed."""
    loaded, root = load_params(given.params), given.data.resolve()
    enhancers = loaded.enhancers
    pattern = given.speaker_pattern or enhancers.speaker_pattern
    drl = enhancers.drl.model_copy(update={"seed": seed})
    named = {"networks": tuple(given.networks), "frontend": "" if frontend == NONE else frontend}
    update = {
        "manifest": loaded.manifest.model_copy(update={"root": root, "evaluations": layout.evaluation_lists(root)}),
        "extract": loaded.extract.model_copy(update=named),
        "train": loaded.train.model_copy(update={"seed": seed}),
        "enhancers": enhancers.model_copy(update={"speaker_pattern": pattern, "drl": drl}),
        "score": loaded.score.model_copy(update={"methods": ("cosine",)}),
    }
    return loaded.model_copy(update=update)


def places_of(params: Params, out: Path, frontend: str, seed: int) -> RunPlaces:
    """Folders of a run; caches are kept apart by what decides their contents."""
    extract = params.extract.model_copy(update={"networks": ("any",)})
    deciding = f"{params.manifest.root}\n{params.manifest.eval_share}\n{extract.model_dump_json()}"
    base = out / "caches" / hashlib.sha256(deciding.encode()).hexdigest()[:12]
    return RunPlaces(base, out, Path(frontend, f"seed-{seed}"))


def prepare(params: Params, places: ProjectPaths) -> None:
    """Write manifests and caches; those that are complete are used as they are."""
    layout.describe(params.manifest.root)
    pipeline.training_manifests(params, places.manifests("train"), ProgressBar("manifest train", "files"))
    for name in params.manifest.evaluations:
        pipeline.evaluation_manifests(params, name, places.manifests(name), ProgressBar(f"manifest {name}", "files"))
    for network, name in itertools.product(params.extract.networks, (layout.TRAIN, *params.manifest.evaluations)):
        pipeline.extract(params, network, name, places, ProgressBar(f"extract {network} {name}", "utterances"))


def compare(params: Params, places: ProjectPaths, network: str, enhancer: EnhancerKind) -> None:
    """Train one enhancer of one network and score every list."""
    draw = ProgressBar(f"train {network} {enhancer}", "epochs")
    pipeline.train(params, network, enhancer, places, lambda epoch, total: draw(epoch.epoch, total))
    for name in params.manifest.evaluations:
        pipeline.score(params, network, enhancer, name, places)
        say(f"scored {network}, {enhancer}, {name}: {places.results(network, enhancer, name)}")


@guarded
def main() -> None:
    """Run the matrix and write the tables."""
    given = arguments()
    out = given.out.resolve()
    for frontend, seed in itertools.product(given.frontends, given.seeds):
        params = settle(given, frontend, seed)
        places = places_of(params, out, frontend, seed)
        if seed == given.seeds[0]:
            prepare(params, places)
        for network, enhancer in itertools.product(given.networks, given.enhancers):
            if seed == given.seeds[0] or enhancer not in SAME_FOR_EVERY_SEED:
                compare(params, places, network, enhancer)
    written = write_tables([out / "results"], out / "tables", given.bench)
    print(written[0].read_text(encoding="utf-8"))
    say("\n".join(map(str, written)))


if __name__ == "__main__":
    sys.exit(main())
