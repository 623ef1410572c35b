"""``seedpipe compare`` and ``seedpipe calibrate``: what can be said about score files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seedpipe.cli.common import MAX_SEED, Json
from seedpipe.console import guarded, say, show

__all__ = ["calibrate", "compare"]


@guarded
def compare(
    a: Annotated[
        Path, typer.Argument(help="Scores of the one system: csv, tsv, Parquet, or lines 'enrol test score'.")
    ],
    b: Annotated[Path, typer.Argument(help="Scores of the other system on the same trials.")],
    column_a: Annotated[str | None, typer.Option(help="Column of the scores in A, 'score' by default.")] = None,
    column_b: Annotated[str | None, typer.Option(help="Column of the scores in B, 'score' by default.")] = None,
    trials: Annotated[Path | None, typer.Option("--list", help="Trial list, where the files have no labels.")] = None,
    speakers: Annotated[
        Path | None, typer.Option(help="Speaker map, lines 'utterance speaker', where the list does not tell them.")
    ] = None,
    replicates: Annotated[int, typer.Option(min=100, help="Resamplings of the speakers.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the resampling.")] = 0,
    json: Json = False,
) -> None:
    """Compare two systems on the same trials: difference b minus a, 95 % interval and p-value over speakers.

    Example: seedpipe compare scores_network.csv scores_enhanced.csv
    """
    from seedpipe.scoring import compare_scores, read_scores
    from seedpipe.scoring.trials import read_speaker_map, read_trials

    labelled = read_trials(trials) if trials else None
    known = read_speaker_map(speakers) if speakers else None
    scores = read_scores(a, column_a), read_scores(b, column_b)
    found = compare_scores(*scores, labelled, replicates, seed, speakers=known)
    for warning in found.warnings:
        say(f"seedpipe: warning: {warning}")
    show({"a": str(a), "b": str(b)} | found.to_dict(), repr(found), as_json=json)


@guarded
def calibrate(
    scores: Annotated[Path, typer.Argument(help="Scores with labels, of a list that is not the one to report.")],
    out: Annotated[Path, typer.Argument(help="The calibration, a JSON file.")],
    column: Annotated[str | None, typer.Option(help="Column of the scores, 'score' by default.")] = None,
    quality: Annotated[
        list[str] | None, typer.Option(help="Column of a quality measure, as magnitude_low; may be repeated.")
    ] = None,
    p_target: Annotated[float, typer.Option(help="Prior at which the loss is weighed.")] = 0.5,
    model: Annotated[
        Path | None,
        typer.Option(help="Model folder whose scores these are: it gets the calibration, and its card the threshold."),
    ] = None,
    json: Json = False,
) -> None:
    """Fit the logistic calibration that turns scores into log likelihood ratios.

    Example: seedpipe calibrate scores_dev.csv calibration.json
    """
    from seedpipe.scoring.calibration import calibrate_file
    from seedpipe.scoring.decision import calibrate_model

    if out.suffix != ".json":
        raise typer.BadParameter(f"'{out}' does not end in .json", param_hint="OUT")
    found, costs = calibrate_file(scores, column, quality or (), p_target)
    if model is not None:
        calibrate_model(found, model)
    found.save(out)
    say("seedpipe: Cllr is that of the list of the fit; report it on another list")
    text = f"{out}: scale {found.scale:.4g}, offset {found.offset:.4g}; "
    text += f"Cllr {costs.cllr:.4f}, least {costs.min_cllr:.4f} bits"
    result = {"calibration": str(out), "scale": found.scale, "offset": found.offset, "quality": dict(found.quality)}
    show(result | costs._asdict(), text, as_json=json)
