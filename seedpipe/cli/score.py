"""``seedpipe score``: a trial list on an evaluation cache with a model, or on embedding files of any toolkit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from seedpipe.cli.common import Json, ParamsFile, load_params_or_defaults
from seedpipe.console import guarded, say, show

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from seedpipe.params import ScoreParams
    from seedpipe.scoring import CropEmbeddings
    from seedpipe.trials import Trials

__all__ = ["score"]


@guarded
def score(
    source: Annotated[Path, typer.Argument(metavar="CACHE|ENROL", help="Evaluation cache, or embedding file.")],
    other: Annotated[Path, typer.Argument(metavar="MODEL|TEST", help="Model folder, or embedding file.")],
    trials: Annotated[Path, typer.Argument(metavar="LIST", help="Trial list; see 'seedpipe trials check'.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the score of every trial: .csv; of embedding files also .parquet, .txt.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Embedding files: cosine (the default) or euclidean.")] = None,
    norm: Annotated[str | None, typer.Option(help="Embedding files: z, t, s or as; wants --cohort.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Embedding files: training cache with the cohort.")] = None,
    cohort_size: Annotated[int, typer.Option(min=2, help="Utterances drawn for the cohort.")] = 5000,
    cohort_top: Annotated[int, typer.Option(min=2, help="Highest cohort scores that '--norm as' uses.")] = 300,
    models: Annotated[
        Path | None, typer.Option(help="Embedding files: enrolment models, lines 'model utterance utterance ...'.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Embedding files: what 'seedpipe calibrate' wrote, applied to the scores.")
    ] = None,
    ids: Annotated[Path | None, typer.Option(help="Names of the rows of .npy files, one a line.")] = None,
    params: ParamsFile = None,
    json: Json = False,
) -> None:
    """Score a trial list: a cache with a model, alone and with SEED, or two embedding files of any toolkit.

    Example: seedpipe score cache/dvector/demo models/dvector data/demo/eval/trials_demo.txt

    Example: seedpipe score enrol.npz test.npz trials.txt --out scores.csv
    """
    from seedpipe.trials import read_trials

    settings = load_params_or_defaults(params).score
    if source.is_dir():
        given = {"method": method, "norm": norm, "cohort": cohort, "models": models, "calibration": calibration}
        _refuse(given | {"ids": ids})
        _score_cache(source, other, trials, settings, out, json)
        return
    listed = read_trials(trials)
    sides = _sides(source, other, models, ids)
    table, rule = _scored(sides, listed, method or "cosine", norm or "none", _cohort(cohort, cohort_size), cohort_top)
    if calibration:
        table["score"] = _calibrated(table, calibration)
    if out:
        from seedpipe.scoring import write_scores

        write_scores(table, out)
    if rule != "names as they are":
        say(f"seedpipe: names are found by: {rule}")
    result = {"list": str(trials), "rule": rule, "trials": len(listed), "out": str(out) if out else None}
    result["figures"] = None if listed.blind else _figures(listed, table, settings, calibrated=calibration is not None)
    show(result, _text(result), as_json=json)


def _refuse(given: Mapping[str, object]) -> None:
    wrong = next((name for name, value in given.items() if value is not None), None)
    if wrong:
        raise typer.BadParameter(
            "is for embedding files; a cache is scored as params.yaml says", param_hint=f"--{wrong}"
        )


def _score_cache(cache: Path, model: Path, trials: Path, settings: ScoreParams, out: Path | None, json: bool) -> None:
    import seedpipe
    from seedpipe.cache import open_cache
    from seedpipe.enhance import Enhancer
    from seedpipe.files import whole_file
    from seedpipe.report import format_table
    from seedpipe.scoring import evaluate
    from seedpipe.trials import read_trials

    name = trials.stem.removeprefix("trials_")
    embeddings = open_cache(cache)
    evaluations, table = evaluate(embeddings, Enhancer.load(model), read_trials(trials), settings, name)
    if out:
        with whole_file(out) as partial:
            table.to_csv(partial, index=False, lineterminator="\n")
    report = {
        "title": name,
        "synthetic": embeddings.info.synthetic,
        "seedpipe_version": seedpipe.__version__,
        "made_by": "seedpipe score",
        "evaluations": evaluations,
    }
    show(report, "" if json else format_table(report), as_json=json)


def _sides(enrol: Path, test: Path, models: Path | None, ids: Path | None) -> tuple[CropEmbeddings, CropEmbeddings]:
    """Embeddings of both sides; one object where one file serves both and there are no models."""
    from seedpipe.scoring import read_embeddings, with_models
    from seedpipe.trials import read_models

    left = read_embeddings(enrol, ids)
    right = left if enrol == test else read_embeddings(test, ids)
    return (with_models(left, read_models(models)) if models else left), right


def _cohort(cache: Path | None, size: int) -> NDArray[np.float32] | None:
    from seedpipe.cache import open_cache
    from seedpipe.scoring import cohort_from

    return cohort_from(open_cache(cache), size) if cache else None


def _scored(
    sides: tuple[CropEmbeddings, CropEmbeddings],
    listed: Trials,
    method: str,
    norm: str,
    cohort: NDArray[np.float32] | None,
    top: int,
) -> tuple[pd.DataFrame, str]:
    from seedpipe.scoring import METHODS, NORMS, score_embeddings

    for option, value, known in (("--method", method, METHODS), ("--norm", norm, NORMS)):
        if value not in known:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(known)}", param_hint=option)
    if (norm == "none") != (cohort is None):
        raise typer.BadParameter("--norm and --cohort go together")
    return score_embeddings(*sides, listed, cast(Any, method), cast(Any, norm), cohort, top)


def _calibrated(table: pd.DataFrame, path: Path) -> NDArray[np.float64]:
    from seedpipe.calibration import load_calibration

    found = load_calibration(path)
    measures = {name: table[name].to_numpy() for name in found.quality if name in table}
    return found(table["score"].to_numpy(), measures)


def _figures(listed: Trials, table: pd.DataFrame, settings: ScoreParams, *, calibrated: bool) -> dict[str, Any]:
    from seedpipe.metrics import act_dcf, cllr, min_cllr
    from seedpipe.scoring import figures

    scores = table["score"].to_numpy()
    found = figures(listed, scores, settings.bootstrap, settings.seed)
    if calibrated:
        labels = listed.labels
        found |= {"act_dcf_0.05": {"value": act_dcf(scores, labels)}, "cllr": {"value": cllr(scores, labels)}}
        found["min_cllr"] = {"value": min_cllr(scores, labels)}
    return found


def _text(result: dict[str, Any]) -> str:
    if result["figures"] is None:
        return f"{result['trials']:,} trials scored; a list without labels has no error rate"
    lines = [f"{result['trials']:,} trials"]
    for name, figure in result["figures"].items():
        factor, unit = (100.0, " %") if name == "eer" else (1.0, "")
        interval = f" [{factor * figure['low']:.4g}, {factor * figure['high']:.4g}]" if "low" in figure else ""
        lines.append(f"{name}: {factor * figure['value']:.4g}{interval}{unit}")
    return "\n".join(lines)
