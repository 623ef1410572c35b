"""The stages: one function each, from typed parameters to files in their places.

The scripts in ``stages/``, the benchmarks and the tests call these, so there is one pipeline and not three.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seedpipe import layout
from seedpipe.errors import ManifestError, SeedpipeError
from seedpipe.files import whole_file
from seedpipe.layout import Places
from seedpipe.manifest import is_synthetic
from seedpipe.params import Params

__all__ = ["corpus", "evaluation_manifests", "extract", "report", "score", "train", "training_manifests", "write_json"]

Progress = Callable[[int, int], None]


def corpus(params: Params, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Make sure that the audio is there, and describe the data folder in a small file that DVC can watch.

    The synthetic demonstration corpus is built where ``manifest.root`` is ``corpus.folder``; any other root is only
    looked at: names, sizes and times of change, no contents.
    """
    root = params.manifest.root
    synthetic = root == params.corpus.folder
    if synthetic:
        from seedpipe.demo import build_demo_corpus

        settings = params.corpus.model_dump(exclude={"folder"})
        build_demo_corpus(root, **settings, jobs=params.machine.jobs or 2, progress=progress)
    description = {"root": root.as_posix(), "synthetic": is_synthetic(root), "folders": layout.describe(root)}
    write_json(out, description)
    return description


def training_manifests(params: Params, places: Places, progress: Progress | None = None) -> list[SeedpipeError]:
    """Write the manifests of the training corpus; gives the files left out."""
    skip = params.extract.on_bad_audio == "skip"
    out = places.manifests(layout.TRAIN)
    return layout.write_training_manifests(
        params.manifest, out, skip_bad=skip, jobs=params.machine.jobs or 2, progress=progress
    )


def evaluation_manifests(params: Params, name: str, places: Places, progress: Progress | None = None) -> None:
    """Write the manifests of an evaluation list."""
    if name == layout.TRAIN:
        raise ManifestError("an evaluation list cannot be called 'train'", remedy="rename it")
    jobs = params.machine.jobs or 2
    layout.write_evaluation_manifests(params.manifest, name, places.manifests(name), jobs=jobs, progress=progress)


def extract(
    params: Params, network: str, name: str, places: Places, progress: Progress | None = None
) -> dict[str, Any]:
    """Cache a corpus: ``train``, or the name of an evaluation list."""
    from seedpipe.extract import extract as run
    from seedpipe.extract import remarks

    cache = run(
        places.manifests(name),
        places.network(network),
        places.cache(network, name),
        params.extract,
        kind="training" if name == layout.TRAIN else "evaluation",
        machine=params.machine,
        progress=progress,
    )
    info = cache.info
    return {
        "cache": str(cache.path),
        "rows": info.rows,
        "variants": list(info.variants),
        "skipped": info.skipped,
        "remarks": remarks(info),
    }


def train(params: Params, network: str, places: Places, progress: Callable[..., None] | None = None) -> dict[str, Any]:
    """Train the enhancer of a network; gives the figures and the curve."""
    from seedpipe.cache import open_cache
    from seedpipe.train import train as run

    cache = open_cache(places.cache(network, layout.TRAIN))
    _, result = run(cache, places.model(network), params.train, progress=progress)
    figures = {"seed": params.train.seed, "epochs": params.train.epochs, "hours": round(cache.info.seconds / 3600, 3)}
    return figures | result.as_dict()


def score(params: Params, network: str, name: str, places: Places) -> dict[str, Any]:
    """Score an evaluation list with the network alone and with SEED; writes the scores beside the figures."""
    from seedpipe.cache import open_cache
    from seedpipe.enhance import Enhancer
    from seedpipe.scoring import evaluate
    from seedpipe.trials import read_trials

    trials = read_trials(layout.trial_list(params.manifest.root, name))
    cache = open_cache(places.cache(network, name))
    evaluations, table = evaluate(cache, Enhancer.load(places.model(network)), trials, params.score, name)
    out = places.results(network, name)
    with whole_file(out / "scores.csv") as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    figures = {"synthetic": cache.info.synthetic, "evaluations": evaluations}
    write_json(out / "evaluation.json", figures)
    write_json(out / "metrics.json", summary(evaluations))
    return figures


def report(params: Params, places: Places, made_by: str) -> dict[str, Any]:
    """Gather all figures into the report (HTML and Markdown); gives the dictionary it was made from."""
    import seedpipe
    from seedpipe.report import write_report

    evaluations: list[dict[str, Any]] = []
    training: dict[str, Any] = {}
    synthetic = False
    for network in params.extract.networks:
        training[network] = _read_json(places.training(network))
        for name in params.manifest.evaluations:
            figures = _read_json(places.results(network, name) / "evaluation.json")
            synthetic |= figures["synthetic"]
            evaluations.extend(figures["evaluations"])
    data = {
        "title": "SEED on frozen speaker networks",
        "synthetic": synthetic,
        "seedpipe_version": seedpipe.__version__,
        "made_by": made_by,
        "evaluations": evaluations,
        "training": training,
        "facts": _facts(params) | _provenance(params, places),
    }
    write_report(data, places.report, places.report.with_suffix(".md"))
    return data


def summary(evaluations: list[dict[str, Any]]) -> dict[str, Any]:
    """The few numbers that ``dvc metrics`` shows: EER in percent and minDCF by method, condition and system."""
    result: dict[str, Any] = {}
    for evaluation in evaluations:
        rows = {
            row["condition"]: {
                system: {
                    "eer_percent": round(100 * figures["eer"]["value"], 3),
                    "min_dcf": round(figures["min_dcf"]["value"], 4),
                }
                for system, figures in row["systems"].items()
            }
            for row in evaluation["conditions"]
        }
        result[evaluation["method"]] = rows
        if "mean_relative_reduction" in evaluation:
            percent = round(100 * evaluation["mean_relative_reduction"]["value"], 2)
            result[evaluation["method"]]["mean_relative_eer_reduction_percent"] = percent
    return result


def write_json(path: Path, data: object) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(
            f"cannot be read ({error})", remedy="run the stages before (dvc repro)", file=path
        ) from error


def _provenance(params: Params, places: Places) -> dict[str, str]:
    """Which weights made the embeddings, and from how much speech each enhancer learned."""
    from seedpipe.cache import open_cache

    facts = {}
    for network in params.extract.networks:
        info = open_cache(places.cache(network, layout.TRAIN)).info
        speech = "synthetic speech" if info.synthetic else "speech"
        facts[f"network {info.network.name}"] = (
            f"fingerprint {info.network.fingerprint[:16]}, {info.network.dimension}-d"
        )
        size = f"{info.utterances:,} unlabelled utterances, {info.seconds / 60:.0f} min of {speech}"
        facts[f"training of {info.network.name}"] = f"{size}, seed {params.train.seed}"
    return facts


def _facts(params: Params) -> dict[str, str]:
    evaluation, augment = params.extract.evaluation, params.extract.augment
    return {
        "evaluation": f"{evaluation.crops} crops of {evaluation.crop_samples:,} samples; clean enrolment, "
        "test side under the condition",
        "noise": "speech-to-noise ratio {:g} to {:g} dB, speech-to-music ratio {:g} to {:g} dB, drawn uniformly".format(
            *augment.noise_snr_db, *augment.music_snr_db
        ),
        "variants": f"{params.extract.draws} draws of each training utterance, in {', '.join(params.extract.variants)}",
        "EER": f"definition '{params.score.eer_definition}'",
        "minDCF": f"P_target {params.score.p_target:g}, both costs 1, normalised",
        "intervals": f"95 %, {params.score.bootstrap:,} bootstrap resamplings of the speakers",
    }
