"""``seedpipe score``: a trial list on an evaluation cache with a model, or on embedding files of any toolkit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seedpipe.cli.common import Device, Json, ParamsFile, load_params_or_defaults
from seedpipe.console import guarded, say, show

if TYPE_CHECKING:
    from seedpipe.params import ScoreParams
    from seedpipe.results import Evaluations, ListFigures

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
    speakers: Annotated[
        Path | None, typer.Option(help="Speaker map, lines 'utterance speaker', where the list does not tell them.")
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
    from seedpipe import pipeline
    from seedpipe.scoring import score_files, write_scores
    from seedpipe.workers import choose_device

    known = load_params_or_defaults(params)
    place = choose_device(device.value if device else known.machine.device)
    settings = _settings(known.score, method, norm, cohort_size, cohort_top)
    if ids is not None and ".npy" not in (source.suffix, other.suffix):
        raise typer.BadParameter("is for embeddings in .npy files", param_hint="--ids")
    if out:
        _expect_new(out, (source, other, trials), (".csv", ".parquet") + (() if source.is_dir() else (".txt",)))
    if source.is_dir():
        evaluations, table = pipeline.score_cache(
            source,
            other,
            trials,
            settings,
            cohort=cohort,
            models=models,
            calibrations=calibration or (),
            speakers=speakers,
            device=place,
        )
        result, text = _reported(evaluations)
    else:
        only = settings.model_copy(update={"methods": (method or "cosine",), "norm": norm or "none"})
        ratios = _only_one(calibration, only, cohort)
        figures, table = score_files(
            source,
            other,
            trials,
            only,
            ids=ids,
            cohort=cohort,
            models=models,
            calibration=ratios,
            speakers=speakers,
            device=place,
        )
        result, text = figures.to_dict() | {"out": None}, figures.text
        _remark(figures)
    if out:
        write_scores(table, out)
        result |= {"out": str(out)}
    show(result, text, as_json=json)


def _reported(evaluations: Evaluations) -> tuple[dict[str, Any], str]:
    """For machines and for people."""
    from seedpipe._version import __version__
    from seedpipe.results import Report
    from seedpipe.results.report import format_table

    report = Report(
        title=evaluations[0].list,
        seedpipe_version=__version__,
        made_by="seedpipe score",
        synthetic=evaluations.synthetic,
        evaluations=evaluations.evaluations,
    )
    return report.to_dict(), format_table(report)


def _remark(figures: ListFigures) -> None:
    if figures.rule != "names as they are":
        say(f"seedpipe: names are found by: {figures.rule}")
    for warning in figures.warnings:
        say(f"seedpipe: warning: {warning}")


def _only_one(calibrations: Sequence[Path] | None, settings: ScoreParams, cohort: Path | None) -> Path | None:
    """The calibration of embedding files, which are one system."""
    if (settings.norm == "none") != (cohort is None):
        raise typer.BadParameter("--norm and --cohort go together")
    if calibrations and len(calibrations) > 1:
        raise typer.BadParameter("embedding files are one system: give one", param_hint="--calibration")
    return calibrations[0] if calibrations else None


def _expect_new(out: Path, inputs: Sequence[Path], known: Sequence[str]) -> None:
    if out.suffix not in known:
        raise typer.BadParameter(f"'{out}' does not end in {' or '.join(known)}", param_hint="--out")
    if out in inputs:
        raise typer.BadParameter(f"'{out}' would be written over", param_hint="--out")


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
