"""``seedpipe manifest``: what audio there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seedpipe.cli.common import Json, ParamsFile, load_params_or_defaults
from seedpipe.console import ProgressBar, guarded, say, show

__all__ = ["manifest"]


@guarded
def manifest(
    root: Annotated[Path, typer.Argument(help="Data folder in the layout of docs/data.md.")],
    out: Annotated[Path, typer.Argument(help="Folder for speech.csv, music.csv, noise.csv and rir.csv.")],
    evaluation: Annotated[
        str, typer.Option("--list", help="Describe the utterances of eval/trials_NAME.txt instead of train/.")
    ] = "",
    params: ParamsFile = None,
    json: Json = False,
) -> None:
    """List the audio of a training corpus or of an evaluation list.

    Example: seedpipe manifest data/demo data_manifests/train
    """
    from seedpipe import pipeline
    from seedpipe.audio import read_manifest

    loaded = load_params_or_defaults(params)
    loaded = loaded.model_copy(update={"manifest": loaded.manifest.model_copy(update={"root": root})})
    progress = ProgressBar("manifest", "files")
    if evaluation:
        pipeline.evaluation_manifests(loaded, evaluation, out, progress)
    else:
        for error in pipeline.training_manifests(loaded, out, progress):
            say(f"seedpipe: left out: {error}")
    speech = read_manifest(out / "speech.csv")
    result = {"folder": str(out), "utterances": len(speech), "seconds": speech.seconds}
    show(result, f"{out}: {len(speech):,} utterances, {speech.seconds / 3600:.2f} h", as_json=json)
