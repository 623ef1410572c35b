"""How much SEED or a baseline gains on real speech: manifest, extract, train, score and report on a folder, in one go.

    python benchmarks/quality.py --data DIR [--enhancer seed] [--seed 0] [--json FILE]

DIR has the layout of docs/data.md: train/, noise/, music/, rir/ (split by recording into a training and an evaluation
part, unless DIR has eval_noise/, eval_music/ or eval_rir/), and every eval/trials_NAME.txt is an evaluation list.
Training uses no labels. Enrolment is clean, the test side is under the condition; an interval holds 95 % of the
bootstrap resamplings of the speakers, p is that of the paired difference. Caches stay in --work and are used again.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import time
from pathlib import Path
from typing import Any, get_args

from _common import HERE, PARAMS, Paths, keep, named, on_data, prepare, reader, train_and_score, training_length

from seedpipe import pipeline
from seedpipe.console import guarded
from seedpipe.params import EnhancerKind, Params, load_params


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = reader(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data folder, see docs/data.md")
    parser.add_argument("--seed", type=int, default=0, help="training seed")
    parser.add_argument("--steps", type=int, help="length of the training, instead of that in the parameters")
    parser.add_argument("--network", default="dvector", help="frozen speaker network, by name or folder")
    parser.add_argument("--enhancer", default="seed", choices=get_args(EnhancerKind), help="see docs/enhancers.md")
    parser.add_argument("--params", type=Path, default=PARAMS, help="parameters of the stages")
    parser.add_argument("--work", type=Path, default=HERE / "build" / "quality", help="folder for caches and reports")
    return parser.parse_args()


def settle(given: argparse.Namespace) -> tuple[Params, Paths]:
    """Parameters with this data folder and seed, and a work folder of their own."""
    loaded = load_params(given.params)
    network, folders = named(given.network)
    drl = loaded.enhancers.drl.model_copy(update={"seed": given.seed})
    params = on_data(
        loaded,
        given.data,
        extract={"networks": (network,)},
        train={"seed": given.seed, **training_length(given)},
        enhancers={"names": (given.enhancer,), "drl": drl},
        score={"methods": ("cosine",)},
    )
    data = params.manifest
    deciding = f"{data.root}\n{data.eval_share}\n{data.group_pattern}\n{params.extract.model_dump_json()}"
    return params, Paths(given.work / hashlib.sha256(deciding.encode()).hexdigest()[:12], folders)


def run(params: Params, paths: Paths, enhancer: EnhancerKind) -> dict[str, Any]:
    """Run every stage."""
    prepare(params, paths)
    train_and_score(params, paths, params.extract.networks[0], enhancer)
    return pipeline.report(params, paths, "benchmarks/quality.py").to_dict()


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
    params, paths = settle(given)
    data = run(params, paths, given.enhancer)
    seconds = time.monotonic() - started
    print("\n\n".join(table(evaluation) for evaluation in data["evaluations"]))
    print(f"\nseed {given.seed}, {seconds:.0f} s in all, report: {paths.report}")
    keep(given.json, {"data": str(given.data), "seed": given.seed, "seconds": round(seconds, 1), **data})


if __name__ == "__main__":
    sys.exit(main())
