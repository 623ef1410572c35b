"""``seedpipe score``: a trial list on an evaluation cache with a model, or on embedding files of any toolkit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from seedpipe.cli.common import Device, Json, ParamsFile, load_params_or_defaults
from seedpipe.console import guarded, say, show

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from seedpipe.params import ScoreParams
    from seedpipe.scoring import CropEmbeddings
    from seedpipe.scoring.trials import Trials

__all__ = ["score"]


@guarded
def score(
    source: Annotated[Path, typer.Argument(metavar="CACHE|ENROL", help="Evaluation cache, or embedding file.")],
    other: Annotated[Path, typer.Argument(metavar="MODEL|TEST", help="Model folder, or embedding file.")],
    trials: Annotated[Path, typer.Argument(metavar="LIST", help="Trial list; see 'seedpipe trials check'.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the score of every trial: .csv, .parquet; of embedding files also .txt.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="cosine or euclidean; of a cache both by default, of files cosine.")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Score normalisation: z, t, s or as; wants --cohort.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Training cache with the cohort of --norm.")] = None,
    cohort_size: Annotated[int | None, typer.Option(min=2, help="Utterances drawn for the cohort, 5000.")] = None,
    cohort_top: Annotated[int | None, typer.Option(min=2, help="Highest cohort scores of '--norm as', 300.")] = None,
    models: Annotated[
        Path | None, typer.Option(help="Enrolment models, lines 'model utterance utterance ...'.")
    ] = None,
    calibration: Annotated[
        list[Path] | None,
        typer.Option(help="What 'seedpipe calibrate' wrote, applied to the scores; of a cache, one for each column."),
    ] = None,
    ids: Annotated[Path | None, typer.Option(help="Names of the rows of .npy files, one a line.")] = None,
    device: Annotated[Device | None, typer.Option(help="Where to enhance and to score.")] = None,
    params: ParamsFile = None,
    json: Json = False,
) -> None:
    """Score a trial list: a cache with a model, alone and enhanced, or two embedding files of any toolkit.

    Example: seedpipe score cache/dvector/demo models/dvector/seed data/demo/eval/trials_demo.txt

    Example: seedpipe score enrol.npz test.npz trials.txt --out scores.csv
    """
    from seedpipe.workers import choose_device

    known = load_params_or_defaults(params)
    place = choose_device(device.value if device else known.machine.device)
    settings = _settings(known.score, method, norm, cohort_size, cohort_top)
    if ids is not None and ".npy" not in (source.suffix, other.suffix):
        raise typer.BadParameter("is for embeddings in .npy files", param_hint="--ids")
    if out:
        _expect_new(out, (source, other, trials), (".csv", ".parquet") + (() if source.is_dir() else (".txt",)))
    if source.is_dir():
        found = _score_cache(source, other, trials, settings, cohort, models, calibration or [], place)
    else:
        only = settings.model_copy(update={"methods": (method or "cosine",), "norm": norm or "none"})
        found = _score_files((source, other, ids), trials, only, cohort, models, calibration or [], place)
    if out:
        from seedpipe.scoring import write_scores

        write_scores(found.table, out)
    result = found.result | {"out": str(out)} if out else found.result
    show(result, found.text, as_json=json)


def _expect_new(out: Path, inputs: Sequence[Path], known: Sequence[str]) -> None:
    if out.suffix not in known:
        raise typer.BadParameter(f"'{out}' does not end in {' or '.join(known)}", param_hint="--out")
    if out in inputs:
        raise typer.BadParameter(f"'{out}' would be written over", param_hint="--out")


class _Scored(NamedTuple):
    result: dict[str, Any]
    text: str
    table: pd.DataFrame


def _settings(
    settings: ScoreParams, method: str | None, norm: str | None, cohort_size: int | None, cohort_top: int | None
) -> ScoreParams:
    """What params.yaml says, after the options."""
    from seedpipe.scoring import METHODS, NORMS

    for option, value, known in (("--method", method, METHODS), ("--norm", norm, NORMS)):
        if value is not None and value not in known:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(known)}", param_hint=option)
    given = {
        "methods": (method,) if method else None,
        "norm": norm,
        "cohort_size": cohort_size,
        "cohort_top": cohort_top,
    }
    return settings.model_copy(update={name: value for name, value in given.items() if value is not None})


def _score_cache(
    source: Path,
    model: Path,
    trials: Path,
    settings: ScoreParams,
    cohort: Path | None,
    models: Path | None,
    calibrations: Sequence[Path],
    device: str,
) -> _Scored:
    from seedpipe._version import __version__
    from seedpipe.cache import open_cache
    from seedpipe.enhancers import load_enhancer
    from seedpipe.results.report import format_table
    from seedpipe.scoring import evaluate
    from seedpipe.scoring.calibration import load_calibration
    from seedpipe.scoring.trials import read_models, read_trials

    cache, name = open_cache(source), trials.stem.removeprefix("trials_")
    evaluations, table = evaluate(
        cache,
        load_enhancer(model, device),
        read_trials(trials),
        settings,
        name,
        cohort=open_cache(cohort) if cohort else None,
        models=read_models(models) if models else None,
        calibrations=[load_calibration(path) for path in calibrations],
    )
    report = {
        "title": name,
        "synthetic": cache.info.synthetic,
        "seedpipe_version": __version__,
        "made_by": "seedpipe score",
        "evaluations": evaluations,
    }
    return _Scored(report, format_table(report), table)


def _score_files(
    sides: tuple[Path, Path, Path | None],
    trials: Path,
    settings: ScoreParams,
    cohort: Path | None,
    models: Path | None,
    calibrations: Sequence[Path],
    device: str,
) -> _Scored:
    from seedpipe.scoring import score_embeddings
    from seedpipe.scoring.calibration import load_calibration
    from seedpipe.scoring.trials import read_trials

    if (settings.norm == "none") != (cohort is None):
        raise typer.BadParameter("--norm and --cohort go together")
    if len(calibrations) > 1:
        raise typer.BadParameter("embedding files are one system: give one", param_hint="--calibration")
    listed = read_trials(trials)
    if not listed.blind:
        listed.speakers()  # refuses a list that contradicts itself, before any work
    ratios = load_calibration(calibrations[0]) if calibrations else None
    strangers = _cohort(cohort, settings)
    method, top = settings.methods[0], settings.cohort_top
    table, rule = score_embeddings(*_sides(*sides, models), listed, method, settings.norm, strangers, top, device)
    if ratios:
        measures = {name: table[name].to_numpy() for name in ratios.quality if name in table}
        table["score"] = ratios(table["score"].to_numpy(), measures)
    if rule != "names as they are":
        say(f"seedpipe: names are found by: {rule}")
    result: dict[str, Any] = {"list": str(trials), "rule": rule, "trials": len(listed), "out": None}
    result |= _figures(listed, table["score"].to_numpy(), settings, calibrated=ratios is not None)
    for warning in result["warnings"]:
        say(f"seedpipe: warning: {warning}")
    return _Scored(result, _text(result), table)


def _figures(listed: Trials, scores: NDArray[np.float64], settings: ScoreParams, *, calibrated: bool) -> dict[str, Any]:
    from seedpipe.scoring import figures, warnings_about

    if listed.blind:
        return {"figures": None, "warnings": []}
    priors = settings.p_targets
    found = figures(listed, scores, settings.bootstrap, settings.seed, p_targets=priors, calibrated=calibrated)
    return {"figures": found, "warnings": warnings_about(listed, {"": scores}, priors)}


def _sides(enrol: Path, test: Path, ids: Path | None, models: Path | None) -> tuple[CropEmbeddings, CropEmbeddings]:
    """Embeddings of both sides; one object where one file serves both and there are no models."""
    from seedpipe.scoring import read_embeddings, with_models
    from seedpipe.scoring.trials import read_models

    left = read_embeddings(enrol, ids)
    right = left if enrol == test else read_embeddings(test, ids)
    return (with_models(left, read_models(models)) if models else left), right


def _cohort(cache: Path | None, settings: ScoreParams) -> NDArray[np.float32] | None:
    from seedpipe.cache import open_cache
    from seedpipe.scoring import cohort_from

    return cohort_from(open_cache(cache), settings.cohort_size, settings.seed).means() if cache else None


def _text(result: dict[str, Any]) -> str:
    if result["figures"] is None:
        return f"{result['trials']:,} trials scored; a list without labels has no error rate"
    lines = [f"{result['trials']:,} trials"]
    for name, figure in result["figures"].items():
        factor, unit = (100.0, " %") if name == "eer" else (1.0, "")
        interval = f" [{factor * figure['low']:.4g}, {factor * figure['high']:.4g}]" if "low" in figure else ""
        lines.append(f"{name}: {factor * figure['value']:.4g}{interval}{unit}")
    return "\n".join(lines)
