"""How much SEED or a baseline gains on real speech: manifest, extract, train, score and report on a folder, in one go.

    python benchmarks/quality.py --data DIR [--enhancer seed] [--seed 0] [--json FILE]

DIR has the layout of docs/data.md: train/, noise/, music/, rir/ (split by source file into a training and an evaluation
part, unless DIR has eval_noise/, eval_music/ or eval_rir/), and every eval/trials_NAME.txt is an evaluation list.
Training uses no labels. Enrolment is clean, the test side is under the condition; an interval holds 95 % of the
bootstrap resamplings of the speakers, p is that of the paired difference. Caches stay in --work and are used again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from pathlib import Path
from typing import Any, get_args

from seedpipe import pipeline
from seedpipe.audio import layout
from seedpipe.console import ProgressBar, guarded, say
from seedpipe.params import EnhancerKind, Params, load_params
from seedpipe.project.paths import ProjectPaths

HERE = Path(__file__).resolve().parents[1]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder, see docs/data.md")
    parser.add_argument("--seed", type=int, default=0, help="training seed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--network", default="dvector", help="frozen speaker network")
    parser.add_argument("--enhancer", default="seed", choices=get_args(EnhancerKind), help="see docs/enhancers.md")
    parser.add_argument("--params", type=Path, default=HERE / "params.yaml", help="parameters of the stages")
    parser.add_argument("--work", type=Path, default=HERE / "build" / "quality", help="folder for caches and reports")
    return parser.parse_args()


def settle(given: argparse.Namespace) -> tuple[Params, ProjectPaths]:
    """Parameters with this data folder and seed, and a work folder of their own."""
    loaded = load_params(given.params)
    root = given.data.resolve()
    update: dict[str, Any] = {
        "manifest": loaded.manifest.model_copy(update={"root": root, "evaluations": layout.evaluation_lists(root)}),
        "extract": loaded.extract.model_copy(update={"networks": (given.network,)}),
        "train": loaded.train.model_copy(update={"seed": given.seed}),
        "enhancers": loaded.enhancers.model_copy(
            update={
                "names": (given.enhancer,),
                "drl": loaded.enhancers.drl.model_copy(update={"seed": given.seed}),
            }
        ),
        "score": loaded.score.model_copy(update={"methods": ("cosine",)}),
    }
    params = loaded.model_copy(update=update)
    deciding = f"{root}\n{params.manifest.eval_share}\n{params.extract.model_dump_json()}"
    return params, ProjectPaths(given.work / hashlib.sha256(deciding.encode()).hexdigest()[:12])


def run(params: Params, places: ProjectPaths, network: str, enhancer: EnhancerKind) -> dict[str, Any]:
    """Run every stage; caches that are complete are used as they are."""
    layout.describe(params.manifest.root)
    pipeline.training_manifests(params, places.manifests("train"), ProgressBar("manifest train", "files"))
    pipeline.extract(params, network, layout.TRAIN, places, ProgressBar("extract train", "utterances"))
    for name in params.manifest.evaluations:
        pipeline.evaluation_manifests(params, name, places.manifests(name), ProgressBar(f"manifest {name}", "files"))
        pipeline.extract(params, network, name, places, ProgressBar(f"extract {name}", "utterances"))
    draw = ProgressBar("train", "epochs")
    pipeline.train(params, network, enhancer, places, lambda epoch, total: draw(epoch.epoch, total))
    for name in params.manifest.evaluations:
        pipeline.score(params, network, enhancer, name, places)
    return pipeline.report(params, places, "benchmarks/quality.py").to_dict()


def line(condition: dict[str, Any]) -> str:
    """One condition: both systems with intervals, and the paired difference."""
    cells = []
    for metric, factor, form in (("eer", 100, "6.2f"), ("min_dcf", 1, "6.3f")):
        for system in ("network", "enhanced"):
            figure = condition["systems"][system][metric]
            value, low, high = (factor * figure.get(key, math.nan) for key in ("value", "low", "high"))
            cells.append(f"{value:{form}} [{low:{form}},{high:{form}}]")
        cells.append(f"p={condition['difference'][metric].get('p_value', math.nan):.3f}")
    return f"{condition['condition']:13s} " + "  ".join(cells)


def table(evaluation: dict[str, Any]) -> str:
    """One evaluation list."""
    head = f"{evaluation['list']}: {evaluation['trials']:,} trials, {evaluation['targets']:,} target, "
    head += f"{evaluation['speakers']} speakers, network {evaluation['network']}, {evaluation['method']}"
    columns = f"{'condition':13s} {'EER % alone':24s}  {'EER % enhanced':24s}  {'':7s}  "
    columns += f"{'minDCF alone':24s}  {'minDCF enhanced':24s}"
    return "\n".join([head, columns, *map(line, evaluation["conditions"]), verdict(evaluation)])


def verdict(evaluation: dict[str, Any]) -> str:
    """What it comes to: the gain under mismatch, and whether clean speech pays for it."""
    clean = evaluation["conditions"][0]["difference"]["eer"]
    if "mean_relative_reduction" not in evaluation or "low" not in clean:
        return "too few speakers or errors for intervals"
    reduction = {key: 100 * evaluation["mean_relative_reduction"][key] for key in ("value", "low", "high")}
    difference = {key: 100 * clean[key] for key in ("difference", "low", "high")}
    worse = "measurably worse" if difference["low"] > 0 else "not measurably worse"
    return (
        "mean relative EER reduction under mismatch {value:.1f} % [{low:.1f}, {high:.1f}]".format(**reduction)
        + ", clean EER {difference:+.2f} % [{low:+.2f}, {high:+.2f}]: ".format(**difference)
        + worse
    )


@guarded
def main() -> None:
    """Run the benchmark."""
    given = arguments()
    started = time.monotonic()
    params, places = settle(given)
    data = run(params, places, given.network, given.enhancer)
    seconds = time.monotonic() - started
    print("\n\n".join(table(evaluation) for evaluation in data["evaluations"]))
    print(f"\nseed {given.seed}, {seconds:.0f} s in all, report: {places.report}")
    if given.json:
        figures = {"data": str(given.data), "seed": given.seed, "seconds": round(seconds, 1), **data}
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        say(f"figures: {given.json}")


if __name__ == "__main__":
    sys.exit(main())
