"""The stages: one function each, from typed parameters to files in their paths.

The scripts in ``stages/``, the benchmarks and the tests call these, so there is one pipeline and not three.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedpipe import __version__
from seedpipe.audio import layout
from seedpipe.audio.manifest import is_synthetic
from seedpipe.errors import CacheError, ManifestError
from seedpipe.files import StrPath, file_digest, read_json, sealed, title_of, whole_file, write_text
from seedpipe.params import EnhancerKind, Params, ScoreParams
from seedpipe.project.facts import provenance, settings, train_seed
from seedpipe.project.paths import ProjectPaths
from seedpipe.results.summary import summary
from seedpipe.scoring.trials import read_speaker_map
from seedpipe.scoring.trials.manifest import check_leaks, describe_name_maps, write_evaluation_manifests

if TYPE_CHECKING:
    import pandas as pd

    from seedpipe.cache import Cache
    from seedpipe.console import ProgressCallback, Shown
    from seedpipe.enhancers.base import TrainingCallback
    from seedpipe.results import EnhancerComparison, Evaluations, Report

__all__ = [
    "describe_audio",
    "describe_speakers",
    "draw",
    "evaluation_manifests",
    "extract",
    "keep_for_dvc",
    "report",
    "score",
    "score_cache",
    "train",
    "training_manifests",
    "write_json",
]


def describe_audio(params: Params, out: StrPath) -> dict[str, Any]:
    """Describe the data folder, names, sizes and times of change, in a small file that DVC can watch.

    Maps of names may lead to audio elsewhere, which is described, too.
    """
    root = params.manifest.root
    description = {"root": root.as_posix(), "synthetic": is_synthetic(root), "folders": layout.describe_folders(root)}
    if elsewhere := describe_name_maps(root):
        description["name_maps"] = elsewhere
    write_json(out, description)
    return description


def describe_speakers(params: Params, out: StrPath) -> None:
    """Describe the map of speakers of ``score.speakers``, where there is one, in a small file that DVC can watch.

    Raises
    ------
    TrialError
        It cannot be used, which is better known before anything is computed.
    """
    path = params.score.speakers
    if path:
        read_speaker_map(path)
    write_json(out, {"map": path.as_posix(), "sha256": file_digest(path)} if path else {})


def training_manifests(params: Params, out: StrPath, progress: ProgressCallback | None = None) -> list[str]:
    """Write the manifests of the training corpus into a folder; gives what a person should know of its audio.

    Raises
    ------
    ManifestError
        Training and evaluation share a file, and ``manifest.allow_leaks`` is not set; or the audio cannot be used.
    """
    skip, jobs, root = params.extract.on_bad_audio == "skip", params.machine.workers, params.manifest.root
    known = set(params.manifest.evaluations) & set(layout.evaluation_lists(root))
    shared = check_leaks(params.manifest, sorted(known))
    bad = layout.write_training_manifests(
        params.manifest, out, channel=params.audio.channel, skip_bad=skip, jobs=jobs, progress=progress
    )
    return [*shared, *(f"left out: {error}" for error in bad), *layout.unlisted(root), *layout.audio_remarks(out)]


def evaluation_manifests(
    params: Params,
    name: str,
    out: StrPath,
    progress: ProgressCallback | None = None,
    *,
    names: StrPath | None = None,
) -> list[str]:
    """Write the manifests of an evaluation list into a folder; gives what a person should know of its audio.

    ``names`` is a map of names, as :func:`seedpipe.scoring.trials.name_map.read_name_map` takes it; by default the one
    of the data folder, where it has any.

    Raises
    ------
    ManifestError
        Training and evaluation share a file, and ``manifest.allow_leaks`` is not set; or the audio cannot be used.
    """
    if name == layout.TRAIN:
        raise ManifestError("an evaluation list cannot be called 'train'", remedy="rename it")
    shared = check_leaks(params.manifest, [name], names)
    channel, jobs = params.audio.channel, params.machine.workers
    write_evaluation_manifests(params.manifest, name, out, names=names, channel=channel, jobs=jobs, progress=progress)
    return [*shared, *layout.audio_remarks(out)]


def extract(
    params: Params,
    network: str,
    name: str,
    paths: ProjectPaths,
    progress: ProgressCallback | Shown | None = "shown",
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
    return remarks(cache.info, paths.manifests(name))


def keep_for_dvc(cache: Cache) -> Path | None:
    """Keep a cache that a command has made for a stage of DVC, which empties its place before it runs.

    Gives the second place, ``OUT.finished``, whose files are hard links; None for a cache that is of no project.
    """
    from seedpipe.cache import link_cache, open_cache
    from seedpipe.extract import kept_beside

    folder = cache.path.absolute()
    if len(folder.parents) < 3 or folder.parents[1].name != "cache" or not (folder.parents[2] / "dvc.yaml").is_file():
        return None
    kept = kept_beside(cache.path)
    with contextlib.suppress(CacheError):
        if open_cache(kept).info == cache.info:
            return kept
    return link_cache(cache, kept).path


def train(
    params: Params,
    network: str,
    enhancer: EnhancerKind,
    paths: ProjectPaths,
    progress: TrainingCallback | Shown | None = "shown",
) -> dict[str, Any]:
    """Train an enhancer of a network; writes the figures and the curve, and gives them."""
    from seedpipe.cache import open_cache
    from seedpipe.enhancers import train_on_cache
    from seedpipe.workers import choose_device

    cache, out = open_cache(paths.cache(network, layout.TRAIN)), paths.model(network, enhancer)
    device, log = choose_device(params.machine.device), params.machine.log
    trained, result = train_on_cache(enhancer, cache, out, params, device=device, log=log, progress=progress)
    figures: dict[str, Any] = {
        "seed": train_seed(params, enhancer),
        "hours": round(cache.info.seconds / 3600, 3),
        "parameters": trained.parameters,
    }
    figures |= result.as_dict()
    write_json(paths.training(network, enhancer), sealed(figures))
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
        speakers=params.score.speakers,
        device=choose_device(params.machine.device),
    )
    # Of every enhancer, so that a report over several runs can tell them apart.
    seed, frontend = train_seed(params, enhancer), params.extract.frontend
    named = [replace(one, train_seed=seed, frontend=frontend) for one in scored]
    evaluations = replace(scored, evaluations=named)
    out = paths.results(network, enhancer, name)
    write_scores(table, out / "scores.parquet")
    write_json(out / "evaluation.json", sealed(evaluations.to_dict()))
    write_json(paths.metrics(network, enhancer, name), summary(evaluations, params.score.p_targets[0]))
    write_plot_tables(evaluations.evaluations, out)
    return evaluations


def draw(evaluations: Evaluations, network: str, enhancer: str, paths: ProjectPaths) -> None:
    """Draw what ``dvc plots`` shows: the figures of the first scoring method and of the training, as SVG."""
    from seedpipe.results import Training
    from seedpipe.results.figure_files import write_figures

    first, training = evaluations[0], Training.from_json(paths.training(network, enhancer))
    write_figures([first], paths.results(network, enhancer, first.list) / "figures", ["svg"], {enhancer: training})


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
    from seedpipe.scoring.trials import read_models, read_trials

    listed, opened = read_trials(trials), open_cache(cache)
    return evaluate(
        opened,
        load_enhancer(Path(model), device),
        listed,
        params,
        title_of(trials).removeprefix("trials_"),
        cohort=open_cache(cohort) if cohort else None,
        models=read_models(models) if models else None,
        calibrations=[load_calibration(path) for path in calibrations],
        speakers=read_speaker_map(speakers) if speakers else None,
    )


def report(params: Params, paths: ProjectPaths, made_by: str) -> Report:
    """Gather all figures into the report (HTML and Markdown), and give what it was made from."""
    from seedpipe.results import Report
    from seedpipe.results.report import write_report
    from seedpipe.results.report.listening import first_row

    evaluations: list[dict[str, Any]] = []
    training: dict[str, Any] = {}
    synthetic: Any = False
    for network, enhancer in itertools.product(params.extract.networks, params.enhancers.names):
        training[f"{network}/{enhancer}"] = _read_json(paths.training(network, enhancer))
        for name in params.manifest.evaluations:
            place = paths.results(network, enhancer, name) / "evaluation.json"
            figures = _read_json(place)
            if not isinstance(figures, dict) or not isinstance(figures.get("evaluations"), list):
                raise ManifestError("holds no results", remedy="run the stages before (dvc repro)", file=place)
            synthetic = synthetic or figures.get("synthetic")
            evaluations.extend(figures["evaluations"])
    data = Report.from_dict(
        {
            "title": "SEED on frozen speaker networks",
            "synthetic": synthetic,
            "seedpipe_version": __version__,
            "made_by": made_by,
            "date": datetime.now(tz=UTC).date().isoformat(),
            "evaluations": evaluations,
            "training": training,
            "facts": settings(params) | provenance(params, paths),
        }
    )
    data = replace(data, comparisons=list(_comparisons(params, paths, data)))
    network, name = params.extract.networks[0], params.manifest.evaluations[0]
    heard = first_row(paths.cache(network, name), paths.manifests(name))
    write_report(data, paths.report, paths.report.with_suffix(".md"), heard)
    return data


def _comparisons(params: Params, paths: ProjectPaths, data: Report) -> Iterator[EnhancerComparison]:
    """Compare the enhancers of a network among themselves, on each list by the first scoring method."""
    from seedpipe.results import EnhancerComparison
    from seedpipe.scoring import compare_columns

    speakers = read_speaker_map(params.score.speakers) if params.score.speakers else None
    trained = [one for one in data.evaluations if data.in_full(one) and one.enhancer != "none"]
    for a, b in itertools.combinations(trained, 2):
        if a.place != b.place:
            continue
        files = [paths.results(a.network, one.enhancer, a.list) / "scores.parquet" for one in (a, b)]
        columns = {one.condition: f"{a.method}:{one.condition}:enhanced" for one in a.conditions}
        draws = params.score.bootstrap, params.score.seed
        found = compare_columns(files[0], files[1], columns, *draws, speakers=speakers)
        yield EnhancerComparison(network=a.source, list=a.list, scores=a.scores, a=a.enhancer, b=b.enhancer, eer=found)


def write_json(path: StrPath, data: object) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(Path(path)) as partial:
        write_text(partial, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise ManifestError(
            f"cannot be read ({error})", remedy="run the stages before (dvc repro)", file=path
        ) from error
