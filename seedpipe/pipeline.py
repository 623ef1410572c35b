"""The stages: one function each, from typed parameters to files in their paths.

The scripts in ``stages/``, the benchmarks and the tests call these, so there is one pipeline and not three.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedpipe.audio import layout
from seedpipe.audio.manifest import is_synthetic
from seedpipe.errors import ManifestError, SeedpipeError
from seedpipe.files import StrPath, read_json, whole_file
from seedpipe.params import EnhancerKind, Params
from seedpipe.project.paths import ProjectPaths
from seedpipe.scoring.trials.manifest import write_evaluation_manifests

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback
    from seedpipe.enhancers.base import EpochCallback


__all__ = [
    "describe_audio",
    "evaluation_manifests",
    "extract",
    "report",
    "score",
    "train",
    "training_manifests",
    "write_json",
]


def describe_audio(params: Params, out: Path) -> dict[str, Any]:
    """Describe the data folder, names, sizes and times of change, in a small file that DVC can watch."""
    root = params.manifest.root
    description = {"root": root.as_posix(), "synthetic": is_synthetic(root), "folders": layout.describe(root)}
    write_json(out, description)
    return description


def training_manifests(params: Params, out: StrPath, progress: ProgressCallback | None = None) -> list[SeedpipeError]:
    """Write the manifests of the training corpus into a folder; gives the files left out."""
    skip, jobs = params.extract.on_bad_audio == "skip", params.machine.workers
    return layout.write_training_manifests(params.manifest, out, skip_bad=skip, jobs=jobs, progress=progress)


def evaluation_manifests(params: Params, name: str, out: StrPath, progress: ProgressCallback | None = None) -> None:
    """Write the manifests of an evaluation list into a folder."""
    if name == layout.TRAIN:
        raise ManifestError("an evaluation list cannot be called 'train'", remedy="rename it")
    write_evaluation_manifests(params.manifest, name, out, jobs=params.machine.workers, progress=progress)


def extract(
    params: Params, network: str, name: str, paths: ProjectPaths, progress: ProgressCallback | None = None
) -> list[str]:
    """Cache a corpus, ``train`` or an evaluation list; gives what a person should know of its audio."""
    from seedpipe.extract import extract as run
    from seedpipe.extract import remarks

    cache = run(
        paths.manifests(name),
        paths.network(network),
        paths.cache(network, name),
        params.extract,
        kind="training" if name == layout.TRAIN else "evaluation",
        machine=params.machine,
        progress=progress,
    )
    return remarks(cache.info)


def train(
    params: Params,
    network: str,
    enhancer: EnhancerKind,
    paths: ProjectPaths,
    progress: EpochCallback | None = None,
) -> dict[str, Any]:
    """Train an enhancer of a network; writes the figures and the curve, and gives them."""
    from seedpipe.cache import open_cache
    from seedpipe.enhancers import train_enhancer
    from seedpipe.enhancers.curves import followed
    from seedpipe.workers import choose_device

    cache, out = open_cache(paths.cache(network, layout.TRAIN)), paths.model(network, enhancer)
    with followed(params.machine.log, out, progress) as noted:
        device = choose_device(params.machine.device)
        trained, result = train_enhancer(enhancer, cache, out, params, device=device, progress=noted)
    figures: dict[str, Any] = {
        "seed": _train_seed(params, enhancer),
        "epochs": len(result.curve),
        "hours": round(cache.info.seconds / 3600, 3),
        "parameters": trained.parameters,
    }
    figures |= result.as_dict()
    write_json(paths.training(network, enhancer), figures)
    return figures


def score(params: Params, network: str, enhancer: str, name: str, paths: ProjectPaths) -> dict[str, Any]:
    """Score an evaluation list with the network alone and with an enhancer; writes the scores beside the figures."""
    from seedpipe.cache import open_cache
    from seedpipe.enhancers import load_enhancer
    from seedpipe.results import Evaluation
    from seedpipe.results.report import write_plot_tables
    from seedpipe.scoring import evaluate, write_scores
    from seedpipe.scoring.trials import read_trials
    from seedpipe.workers import choose_device

    trials = read_trials(layout.trial_list(params.manifest.root, name))
    cache = open_cache(paths.cache(network, name))
    device = choose_device(params.machine.device)
    model = load_enhancer(paths.model(network, enhancer), device)
    cohort = None if params.score.norm == "none" else open_cache(paths.cache(network, layout.TRAIN))
    evaluations, table = evaluate(cache, model, trials, params.score, name, cohort=cohort)
    out = paths.results(network, enhancer, name)
    write_scores(table, out / "scores.parquet")
    # Of every enhancer, so that a report over several runs can tell them apart.
    setting = {"train_seed": _train_seed(params, enhancer), "frontend": params.extract.frontend}
    evaluations = [evaluation | setting for evaluation in evaluations]
    figures = {"synthetic": cache.info.synthetic, "evaluations": evaluations}
    write_json(out / "evaluation.json", figures)
    write_json(out / "metrics.json", summary(evaluations, params.score.p_targets[0]))
    write_plot_tables([Evaluation.from_dict(one) for one in evaluations], out)
    return figures


def report(params: Params, paths: ProjectPaths, made_by: str) -> dict[str, Any]:
    """Gather all figures into the report (HTML and Markdown); gives the dictionary it was made from."""
    from seedpipe._version import __version__
    from seedpipe.results.report import write_report

    evaluations: list[dict[str, Any]] = []
    training: dict[str, Any] = {}
    synthetic = False
    for network, enhancer in itertools.product(params.extract.networks, params.enhancers.names):
        training[f"{network}/{enhancer}"] = _read_json(paths.training(network, enhancer))
        for name in params.manifest.evaluations:
            figures = _read_json(paths.results(network, enhancer, name) / "evaluation.json")
            synthetic |= figures["synthetic"]
            evaluations.extend(figures["evaluations"])
    data = {
        "title": "SEED on frozen speaker networks",
        "synthetic": synthetic,
        "seedpipe_version": __version__,
        "made_by": made_by,
        "evaluations": evaluations,
        "training": training,
        "facts": _facts(params) | _provenance(params, paths),
    }
    write_report(data, paths.report, paths.report.with_suffix(".md"))
    return data


def summary(evaluations: list[dict[str, Any]], p_target: float) -> dict[str, Any]:
    """The numbers that ``dvc metrics`` shows: EER in percent and minDCF by method, condition and system.

    Every number is a column there, so minDCF is that of one prior; ``evaluation.json`` has the others.

    Parameters
    ----------
    evaluations : list of dict
        As :func:`seedpipe.scoring.evaluate` gives them.
    p_target : float
        The first prior of the detection costs; the keys of minDCF end in it.
    """
    result: dict[str, Any] = {}
    for evaluation in evaluations:
        rows = {
            row["condition"]: {
                system: {
                    "eer_percent": round(100 * figures["eer"]["value"], 3),
                    f"min_dcf_{p_target:g}": round(figures["min_dcf"]["value"], 4),
                }
                for system, figures in row["systems"].items()
            }
            for row in evaluation["conditions"]
        }
        if reduction := evaluation.get("mean_relative_reduction"):
            rows["mean_relative_eer_reduction_percent"] = round(100 * reduction["value"], 2)
        result[evaluation["method"]] = rows
    return result


def write_json(path: Path, data: object) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _train_seed(params: Params, enhancer: str) -> int:
    return params.enhancers.drl.seed if enhancer == "drl" else params.train.seed


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise ManifestError(
            f"cannot be read ({error})", remedy="run the stages before (dvc repro)", file=path
        ) from error


def _provenance(params: Params, paths: ProjectPaths) -> dict[str, str]:
    """Which weights made the embeddings, and from how much speech each enhancer learned."""
    from seedpipe.cache import open_cache

    seeds = sorted({_train_seed(params, enhancer) for enhancer in params.enhancers.names})
    facts = {}
    for network in params.extract.networks:
        info = open_cache(paths.cache(network, layout.TRAIN)).info
        speech = "synthetic speech" if info.synthetic else "speech"
        facts[f"network {info.network.name}"] = (
            f"fingerprint {info.network.fingerprint[:16]}, {info.network.dimension}-d"
        )
        size = f"{info.utterances:,} unlabelled utterances, {info.seconds / 60:.0f} min of {speech}"
        facts[f"training of {info.network.name}"] = f"{size}, seed {', '.join(map(str, seeds))}"
    return facts


_SIDES = {
    "test": "clean enrolment, test side under the condition",
    "enrol": "enrolment under the condition, clean test side",
    "both": "both sides under the condition",
}


def _facts(params: Params) -> dict[str, str]:
    evaluation, augment = params.extract.evaluation, params.extract.augment
    return {
        "evaluation": f"{evaluation.crops} crops of {evaluation.crop_samples:,} samples; "
        + _SIDES[params.score.mismatch_side],
        "noise": "speech-to-noise ratio {:g} to {:g} dB, speech-to-music ratio {:g} to {:g} dB, drawn uniformly".format(
            *augment.noise_snr_db, *augment.music_snr_db
        ),
        "variants": f"{params.extract.draws} draws of each training utterance, in {', '.join(params.extract.variants)}",
        "EER": f"definition '{params.score.eer_definition}'",
        "minDCF": f"P_target {params.score.p_targets[0]:g}, both costs 1, normalised",
        "intervals": f"95 %, {params.score.bootstrap:,} bootstrap resamplings of the speakers",
    }
