"""``seedpipe score``: a trial list on an evaluation cache with a model, or on embedding files of any toolkit."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seedpipe.cli.common import Changes, Device, Json, NoParams, ParamsFile, expect_apart, read_params
from seedpipe.console import guarded, say, show
from seedpipe.errors import counted
from seedpipe.files import sealed

if TYPE_CHECKING:
    import pandas as pd

    from seedpipe.params import ScoreParams
    from seedpipe.results import Evaluations, Report

__all__ = ["score"]


class Method(StrEnum):
    """Values of ``score.methods``."""

    cosine = "cosine"
    euclidean = "euclidean"


class Norm(StrEnum):
    """Values of ``score.norm``."""

    none = "none"
    z = "z"
    t = "t"
    s = "s"
    as_ = "as"


@guarded
def score(
    source: Annotated[Path, typer.Argument(metavar="CACHE|ENROL", help="Evaluation cache, or embedding file.")],
    other: Annotated[Path, typer.Argument(metavar="MODEL|TEST", help="Model folder, or embedding file.")],
    trials: Annotated[Path, typer.Argument(metavar="LIST", help="Trial list; see 'seedpipe trials check'.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|FILE",
            help="A folder for scores, evaluation.json, report and figures; or a file for the score of every trial: "
            ".csv, .parquet, of embedding files also .txt.",
        ),
    ] = None,
    method: Annotated[Method | None, typer.Option(help="Of a cache both by default, of files cosine.")] = None,
    norm: Annotated[Norm | None, typer.Option(help="Score normalisation; all but none want --cohort.")] = None,
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
    no_params: NoParams = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Score a trial list: a cache with a model, alone and enhanced, or two embedding files of any toolkit.

    Example: seedpipe score cache/dvector/demo models/dvector/seed data/demo/eval/trials_demo.txt

    Example: seedpipe score enrol.npz test.npz trials.txt --out scored
    """
    from seedpipe import pipeline
    from seedpipe.scoring import score_files
    from seedpipe.workers import choose_device

    of_cache = source.is_dir() or not source.suffix
    of_files = {"score.methods": "--method, as of embedding files", "score.norm": "--norm, as of embedding files"}
    known = read_params(params, no_params, changes, ("score", "machine"), None if of_cache else of_files)
    place = choose_device(device.value if device else known.machine.device)
    settings = _settings(known.score, method, norm, cohort_size, cohort_top)
    speakers = speakers or known.score.speakers
    if ids is not None and ".npy" not in (source.suffix, other.suffix):
        raise typer.BadParameter("is for embeddings in .npy files", param_hint="--ids")
    if not of_cache:
        wanted = {"methods": (method.value if method else "cosine",), "norm": norm.value if norm else "none"}
        settings = settings.model_copy(update=wanted)
    _expect_cohort(settings, cohort_size, cohort_top)
    if out:
        _expect_new(out, (source, other, trials), (".csv", ".parquet") + (() if of_cache else (".txt",)))
    found: Evaluations | None
    if of_cache:
        found, table = pipeline.score_cache(
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
    else:
        ratios = _only_one(calibration, settings, cohort)
        found, table = score_files(
            source,
            other,
            trials,
            settings,
            ids=ids,
            cohort=cohort,
            models=models,
            calibration=ratios,
            speakers=speakers,
            device=place,
        )
    _tell(found, table, out, as_json=json)


def _tell(found: Evaluations | None, table: pd.DataFrame, out: Path | None, *, as_json: bool) -> None:
    """Write what was asked for, and print figures; of a list without labels there are scores alone."""
    from seedpipe.results.report import format_table, write_results
    from seedpipe.scoring import write_scores
    from seedpipe.scoring.trials import AS_THEY_ARE

    report = _report(found) if found else None
    rule = found[0].utterance_rule if found else None
    if rule and rule != AS_THEY_ARE:
        say(f"seedpipe: names are found by: {rule}")
    result: dict[str, Any] = report.to_dict() if report else {"trials": len(table)}
    text = (
        format_table(report)
        if report
        else f"{counted(len(table), 'trial')} scored; a list without labels has no error rate"
    )
    if out and out.suffix:
        write_scores(table, out)
    elif out:
        write_scores(table, out / "scores.csv")
        if report:
            write_results(report, out)
            text += f"\nReport: {out / 'report.html'}"
    show(sealed(result | {"out": str(out) if out else None}), text, as_json=as_json)


def _report(evaluations: Evaluations) -> Report:
    from datetime import UTC, datetime

    from seedpipe import __version__
    from seedpipe.results import Report

    return Report(
        title=evaluations[0].list,
        seedpipe_version=__version__,
        made_by="seedpipe score",
        date=datetime.now(tz=UTC).date().isoformat(),
        synthetic=evaluations.synthetic,
        evaluations=evaluations.evaluations,
    )


def _only_one(calibrations: Sequence[Path] | None, settings: ScoreParams, cohort: Path | None) -> Path | None:
    """The calibration of embedding files, which are one system."""
    if (settings.norm == "none") != (cohort is None):
        raise typer.BadParameter("--norm and --cohort go together")
    if calibrations and len(calibrations) > 1:
        raise typer.BadParameter("embedding files are one system: give one", param_hint="--calibration")
    return calibrations[0] if calibrations else None


def _expect_cohort(settings: ScoreParams, size: int | None, top: int | None) -> None:
    """Refuse what a cohort would be drawn and used by where the normalisation has none, or uses all of it."""
    if settings.norm == "none" and (size or top):
        raise typer.BadParameter(
            "goes with --norm and --cohort", param_hint="--cohort-size" if size else "--cohort-top"
        )
    if settings.norm != "as" and top:
        raise typer.BadParameter(f"goes with --norm as, not {settings.norm}", param_hint="--cohort-top")


def _expect_new(out: Path, inputs: Sequence[Path], known: Sequence[str]) -> None:
    if out.suffix not in ("", *known):
        found = f"'{out}' is neither a folder nor does it end in {' or '.join(known)}"
        raise typer.BadParameter(found, param_hint="--out")
    expect_apart(out, inputs, "--out")


def _settings(
    settings: ScoreParams, method: Method | None, norm: Norm | None, cohort_size: int | None, cohort_top: int | None
) -> ScoreParams:
    """What params.yaml says, after the options."""
    given = {
        "methods": (method.value,) if method else None,
        "norm": norm.value if norm else None,
        "cohort_size": cohort_size,
        "cohort_top": cohort_top,
    }
    return settings.model_copy(update={name: value for name, value in given.items() if value is not None})
