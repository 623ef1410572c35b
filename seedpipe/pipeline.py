"""The stages: one function each, from typed parameters to files in their paths.

The scripts in ``stages/``, the benchmarks and the tests call these, so there is one pipeline and not three.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedpipe._version import __version__
from seedpipe.audio import layout
from seedpipe.audio.manifest import is_synthetic
from seedpipe.errors import ManifestError, SeedpipeError
from seedpipe.files import StrPath, read_json, whole_file
from seedpipe.params import AugmentParams, EnhancerKind, Params, ScoreParams
from seedpipe.project.paths import ProjectPaths
from seedpipe.scoring.trials.manifest import write_evaluation_manifests

if TYPE_CHECKING:
    import pandas as pd

    from seedpipe.console import ProgressCallback
    from seedpipe.enhancers.base import TrainingCallback
    from seedpipe.results import Evaluation, Evaluations, Report

__all__ = [
    "describe_audio",
    "evaluation_manifests",
    "extract",
    "report",
    "score",
    "score_cache",
    "train",
    "training_manifests",
    "write_json",
]


def describe_audio(params: Params, out: StrPath) -> dict[str, Any]:
    """Describe the data folder, names, sizes and times of change, in a small file that DVC can watch."""
    root = params.manifest.root
    description = {"root": root.as_posix(), "synthetic": is_synthetic(root), "folders": layout.describe_folders(root)}
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
    progress: TrainingCallback | None = None,
) -> dict[str, Any]:
    """Train an enhancer of a network; writes the figures and the curve, and gives them."""
    from seedpipe.cache import open_cache
    from seedpipe.enhancers import train_enhancer
    from seedpipe.workers import choose_device

    cache, out = open_cache(paths.cache(network, layout.TRAIN)), paths.model(network, enhancer)
    device, log = choose_device(params.machine.device), params.machine.log
    trained, result = train_enhancer(enhancer, cache, out, params, device=device, log=log, progress=progress)
    figures: dict[str, Any] = {
        "seed": _train_seed(params, enhancer),
        "hours": round(cache.info.seconds / 3600, 3),
        "parameters": trained.parameters,
    }
    figures |= result.as_dict()
    write_json(paths.training(network, enhancer), figures)
    return figures


def score(params: Params, network: str, enhancer: str, name: str, paths: ProjectPaths) -> Evaluations:
    """Score an evaluation list with the network alone and with an enhancer; writes the scores beside the figures."""
    from seedpipe.results.report import write_plot_tables
    from seedpipe.scoring import write_scores
    from seedpipe.workers import choose_device

    scored, table = score_cache(
        paths.cache(network, name),
        paths.model(network, enhancer),
        layout.trial_list(params.manifest.root, name),
        params.score,
        cohort=None if params.score.norm == "none" else paths.cache(network, layout.TRAIN),
        device=choose_device(params.machine.device),
    )
    # Of every enhancer, so that a report over several runs can tell them apart.
    seed, frontend = _train_seed(params, enhancer), params.extract.frontend
    named = [replace(one, train_seed=seed, frontend=frontend) for one in scored]
    evaluations = replace(scored, evaluations=named)
    out = paths.results(network, enhancer, name)
    write_scores(table, out / "scores.parquet")
    write_json(out / "evaluation.json", evaluations.to_dict())
    write_json(out / "metrics.json", summary(evaluations, params.score.p_targets[0]))
    write_plot_tables(evaluations.evaluations, out)
    return evaluations


def score_cache(  # noqa: PLR0913 - files of different kinds
    cache: StrPath,
    model: StrPath,
    trials: StrPath,
    params: ScoreParams,
    *,
    cohort: StrPath | None = None,
    models: StrPath | None = None,
    calibrations: Sequence[StrPath] = (),
    speakers: StrPath | None = None,
    device: str = "cpu",
) -> tuple[Evaluations, pd.DataFrame]:
    """Score a list on an evaluation cache, with the network alone and with the model of a folder.

    Parameters
    ----------
    cache, model, trials : str or path
        A list ``trials_NAME.txt`` is called NAME.
    params : ScoreParams
    cohort : str or path, optional
        The training cache, for every ``params.norm`` but ``none``.
    models : str or path, optional
        Enrolment models.
    calibrations : sequence of str or path
        One for each system that is to be calibrated.
    speakers : str or path, optional
        The speakers of the utterances, where the list does not tell them.
    device : str
        Where to enhance and to score.

    Returns
    -------
    evaluations : Evaluations
    scores : DataFrame
        See :func:`seedpipe.scoring.evaluate`, which also says what is refused.
    """
    from seedpipe.cache import open_cache
    from seedpipe.enhancers import load_enhancer
    from seedpipe.scoring import evaluate
    from seedpipe.scoring.calibration import load_calibration
    from seedpipe.scoring.trials import read_models, read_speaker_map, read_trials

    listed, opened = read_trials(trials), open_cache(cache)
    return evaluate(
        opened,
        load_enhancer(Path(model), device),
        listed,
        params,
        Path(trials).stem.removeprefix("trials_"),
        cohort=open_cache(cohort) if cohort else None,
        models=read_models(models) if models else None,
        calibrations=[load_calibration(path) for path in calibrations],
        speakers=read_speaker_map(speakers) if speakers else None,
    )


def report(params: Params, paths: ProjectPaths, made_by: str) -> Report:
    """Gather all figures into the report (HTML and Markdown), and give what it was made from."""
    from seedpipe.results import Report
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
    data = Report.from_dict(
        {
            "title": "SEED on frozen speaker networks",
            "synthetic": synthetic,
            "seedpipe_version": __version__,
            "made_by": made_by,
            "evaluations": evaluations,
            "training": training,
            "facts": _facts(params) | _provenance(params, paths),
        }
    )
    write_report(data, paths.report, paths.report.with_suffix(".md"))
    return data


def summary(evaluations: Iterable[Evaluation], p_target: float) -> dict[str, Any]:
    """The numbers that ``dvc metrics`` shows: EER in percent and minDCF by method, condition and system.

    Every number is a column there, so minDCF is that of one prior; ``evaluation.json`` has the others.

    Parameters
    ----------
    evaluations : iterable of Evaluation
    p_target : float
        The first prior of the detection costs; the keys of minDCF end in it.
    """
    result: dict[str, Any] = {}
    for evaluation in evaluations:
        rows: dict[str, Any] = {
            row.condition: {
                name: {
                    "eer_percent": round(100 * system.eer.value, 3),
                    f"min_dcf_{p_target:g}": round(system.min_dcf.value, 4),
                }
                for name, system in (("network", row.systems.network), ("enhanced", row.systems.enhanced))
            }
            for row in evaluation.conditions
        }
        if reduction := evaluation.mean_relative_reduction:
            rows["mean_relative_eer_reduction_percent"] = round(100 * reduction.value, 2)
        result[evaluation.method] = rows
    return result


def write_json(path: StrPath, data: object) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(Path(path)) as partial:
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


def _ranges(augment: AugmentParams) -> str:
    return "speech-to-noise ratio {:g} to {:g} dB, speech-to-music ratio {:g} to {:g} dB".format(
        *augment.noise_snr_db, *augment.music_snr_db
    )


def _facts(params: Params) -> dict[str, str]:
    evaluation, of_training = params.extract.evaluation, _ranges(params.extract.augment)
    of_evaluation, short = _ranges(params.extract.evaluation_augment), evaluation.test_crop_samples
    test = f", on the test side one of {short:,}" if short else ""
    own = "" if of_evaluation == of_training else f" in evaluation; in training {of_training}"
    return {
        "evaluation": f"{evaluation.crops} crops of {evaluation.crop_samples:,} samples{test}; "
        + _SIDES[params.score.mismatch_side],
        "noise": f"{of_evaluation}, drawn uniformly{own}",
        "variants": f"{params.extract.draws} draws of each training utterance, in {', '.join(params.extract.variants)}",
        "EER": f"definition '{params.score.eer_definition}'",
        "minDCF": f"P_target {params.score.p_targets[0]:g}, both costs 1, normalised",
        "intervals": f"95 %, {params.score.bootstrap:,} bootstrap resamplings of the speakers",
    }
