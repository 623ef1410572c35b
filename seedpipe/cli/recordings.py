"""``seedpipe embed`` and ``seedpipe verify``: recordings straight to embeddings, and two of them to a verdict."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seedpipe.cli import usual
from seedpipe.cli.common import Changes, Device, Json, NoParams, ParamsFile, read_params
from seedpipe.console import ProgressBar, always, never, resumable, say, show
from seedpipe.errors import counted

if TYPE_CHECKING:
    from seedpipe.scoring.verification import Recording

__all__ = ["embed", "verify"]

UNTOLD = 2  # as in grep and diff: 0 and 1 are answers


def _system(
    network: Annotated[
        str, typer.Option(autocompletion=usual.networks, help="What embeds the audio; that of the model by default.")
    ] = "",
    enhance: Annotated[
        Path | None, typer.Option("--enhance", metavar="MODEL", help="Model folder of an enhancer.")
    ] = None,
    crops: Annotated[int, typer.Option(min=0, help="So many evenly spaced crops of each file; 0: the whole file.")] = 0,
    device: Annotated[Device | None, typer.Option(help="Where network and enhancer run.")] = None,
    params: ParamsFile = None,
    no_params: NoParams = False,
    changes: Changes = None,
) -> dict[str, Any]:
    """What both commands are given, as both functions of the library take it."""
    known = read_params(params, no_params, changes)
    machine = known.machine.model_copy(update={"device": device.value}) if device else known.machine
    known = known.model_copy(update={"machine": machine})
    return {"network": network, "model": enhance, "crops": crops, "params": known}


def _with_system(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of :func:`_system`, whose result is its argument ``system``."""
    own = dict(inspect.signature(command, eval_str=True).parameters)
    shared = inspect.signature(_system, eval_str=True).parameters
    place = list(own).index("system")

    @functools.wraps(command)
    def run(**given: Any) -> None:
        system = _system(**{name: given.pop(name) for name in shared})
        command(system=system, **given)

    both = [*list(own.values())[:place], *shared.values(), *list(own.values())[place + 1 :]]
    run.__annotations__ = {each.name: each.annotation for each in both}
    run.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]  # what typer reads
    return run


@resumable(always)
@_with_system
def embed(
    audio: Annotated[
        list[str],
        typer.Argument(metavar="AUDIO", help="Files, folders, quoted patterns, or maps of names as wav.scp."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .npz, .npy, .parquet or Kaldi .ark file.")],
    system: dict[str, Any],
    json: Json = False,
) -> None:
    """Embed recordings, one vector of each file, and perhaps enhance the embeddings.

    Example: seedpipe embed speech embeddings.npz --network dvector

    Example: seedpipe embed 'speech/*/*.flac' enhanced.ark --enhance models/dvector/seed
    """
    from seedpipe.scoring.recordings import embed_files

    result = embed_files(list(audio), out, **system, progress=ProgressBar("embed", "files"))
    for remark in result.remarks:
        say(f"seedpipe: {remark}")
    files = [str(path) for path in result.files]
    text = f"{', '.join(files)}: {counted(result.rows, 'embedding')}, {result.dimension}-d, in {result.seconds:.1f} s"
    figures = {"rows": result.rows, "dimension": result.dimension, "seconds": round(result.seconds, 3)}
    show({"files": files} | figures, text, as_json=json)


@resumable(never, failed=UNTOLD)
@_with_system
def verify(
    enrol: Annotated[Path, typer.Argument(metavar="A", help="A recording.")],
    test: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    system: dict[str, Any],
    threshold: Annotated[
        float | None, typer.Option(help="Cosine from which on the speaker is the same; else that of the calibration.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="A file of seedpipe calibrate; by default the one in the model folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Say whether one person speaks in two recordings: exit code 0 for the same, 1 for another, 2 for an error.

    Example: seedpipe verify a.wav b.wav --network dvector --threshold 0.75
    """
    if threshold is not None and calibration is not None:
        raise typer.BadParameter("give --threshold or --calibration, not both", param_hint="--threshold")

    from seedpipe.scoring.verification import verify_files

    found = verify_files(enrol, test, **system, threshold=threshold, calibration=calibration)
    for remark in found.remarks:
        say(f"seedpipe: {remark}")
    verdict = "the same speaker" if found.same else "different speakers"
    ratio = "" if found.llr is None else f", log likelihood ratio {found.llr:.2f}"
    by = found.network + (f" and {found.enhancer}" if found.enhancer else "")
    lines = [
        f"{verdict}: similarity {found.score:.4f}, threshold {found.threshold:.4f} ({found.threshold_from}){ratio}",
        *(f"  {_described(each)}" for each in (found.enrol, found.test)),
        f"  by {by}",
    ]
    show(found.to_dict(), "\n".join(lines), as_json=json)
    raise typer.Exit(0 if found.same else 1)


def _described(recording: Recording) -> str:
    level = f"{recording.level_dbfs:.1f} dBFS" if math.isfinite(recording.level_dbfs) else "silence"
    return f"{recording.path}: {recording.seconds:.2f} s, {level}"
