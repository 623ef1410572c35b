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
    from seedpipe.audio import layout
    from seedpipe.audio.manifest import read_manifest
    from seedpipe.scoring.trials.manifest import write_evaluation_manifests

    loaded = load_params_or_defaults(params)
    settings = loaded.manifest.model_copy(update={"root": root})
    progress = ProgressBar("manifest", "files")
    if evaluation:
        write_evaluation_manifests(settings, evaluation, out, jobs=loaded.machine.workers, progress=progress)
    else:
        skip = loaded.extract.on_bad_audio == "skip"
        bad = layout.write_training_manifests(
            settings, out, skip_bad=skip, jobs=loaded.machine.workers, progress=progress
        )
        for error in bad:
            say(f"seedpipe: left out: {error}")
    speech = read_manifest(out / "speech.csv")
    result = {"folder": str(out), "utterances": len(speech), "seconds": speech.seconds}
    show(result, f"{out}: {len(speech):,} utterances, {speech.seconds / 3600:.2f} h", as_json=json)
