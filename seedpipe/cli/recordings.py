"""``seedpipe embed`` and ``seedpipe verify``: recordings straight to embeddings, and two of them to a verdict."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seedpipe.cli import usual
from seedpipe.cli.common import Changes, Device, Json, NoParams, ParamsFile, read_params
from seedpipe.console import ProgressBar, always, never, resumable, say, show
from seedpipe.errors import counted

if TYPE_CHECKING:
    from seedpipe.params import Params
    from seedpipe.scoring.verification import Recording

__all__ = ["embed", "verify"]

UNTOLD = 2  # as in grep and diff: 0 and 1 are answers


Network = Annotated[
    str, typer.Option(autocompletion=usual.networks, help="What embeds the audio; that of the model by default.")
]
Model = Annotated[Path | None, typer.Option("--enhance", metavar="MODEL", help="Model folder of an enhancer.")]
Crops = Annotated[int, typer.Option(min=0, help="So many evenly spaced crops of each file; 0: the whole file.")]
Place = Annotated[Device | None, typer.Option(help="Where network and enhancer run.")]


@resumable(always)
def embed(
    audio: Annotated[
        list[str],
        typer.Argument(metavar="AUDIO", help="Files, folders, quoted patterns, or maps of names as wav.scp."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .npz, .npy, .parquet or Kaldi .ark file.")],
    network: Network = "",
    enhance: Model = None,
    crops: Crops = 0,
    device: Place = None,
    params: ParamsFile = None,
    no_params: NoParams = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Embed recordings, one vector of each file, and perhaps enhance the embeddings.

    Example: seedpipe embed speech embeddings.npz --network dvector

    Example: seedpipe embed 'speech/*/*.flac' enhanced.ark --enhance models/dvector/seed
    """
    from seedpipe.scoring.recordings import embed_files

    known = _params(device, params, no_params, changes)
    progress = ProgressBar("embed", "files")
    result = embed_files(audio, out, network=network, model=enhance, crops=crops, params=known, progress=progress)
    for remark in result.remarks:
        say(f"seedpipe: {remark}")
    files = [str(path) for path in result.files]
    text = f"{', '.join(files)}: {counted(result.rows, 'embedding')}, {result.dimension}-d, in {result.seconds:.1f} s"
    figures = {"rows": result.rows, "dimension": result.dimension, "seconds": round(result.seconds, 3)}
    show({"files": files} | figures, text, as_json=json)


@resumable(never, failed=UNTOLD)
def verify(
    enrol: Annotated[Path, typer.Argument(metavar="A", help="A recording.")],
    test: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    network: Network = "",
    enhance: Model = None,
    crops: Crops = 0,
    device: Place = None,
    params: ParamsFile = None,
    no_params: NoParams = False,
    changes: Changes = None,
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

    found = verify_files(
        enrol,
        test,
        network=network,
        model=enhance,
        threshold=threshold,
        calibration=calibration,
        crops=crops,
        params=_params(device, params, no_params, changes),
    )
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


def _params(device: Device | None, params: Path | None, no_params: bool, changes: list[str] | None) -> Params:
    options = {"extract.networks": "--network", "extract.evaluation.crops": "--crops"}
    known = read_params(params, no_params, changes, ("audio", "extract", "machine"), options)
    machine = known.machine.model_copy(update={"device": device.value}) if device else known.machine
    return known.model_copy(update={"machine": machine})
