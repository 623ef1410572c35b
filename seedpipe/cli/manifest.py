"""``seedpipe manifest``: what audio there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seedpipe.cli import usual
from seedpipe.cli.common import Changes, Json, NoParams, ParamsFile, read_params
from seedpipe.console import ProgressBar, guarded, say, show
from seedpipe.errors import counted

if TYPE_CHECKING:
    from seedpipe.params import Channel

__all__ = ["manifest"]


@guarded
def manifest(
    root: Annotated[Path, typer.Argument(help="Data folder in the layout of docs/data.md.")],
    out: Annotated[Path, typer.Argument(help="Folder for speech.csv, music.csv, noise.csv and rir.csv.")],
    evaluation: Annotated[
        str,
        typer.Option(
            "--list",
            autocompletion=usual.lists,
            help="Describe the utterances of eval/trials_NAME.txt instead of train/.",
        ),
    ] = "",
    channel: Annotated[
        str,
        typer.Option(
            autocompletion=usual.one_of("mean", "0"),
            help="Channel of the speech, from 0, or their mean; the value of the parameters without it.",
        ),
    ] = "",
    names: Annotated[
        Path | None,
        typer.Option(help="With --list, the files of its names: wav.scp, NeMo manifest (jsonl) or lhotse recordings."),
    ] = None,
    params: ParamsFile = None,
    no_params: NoParams = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """List the audio of a training corpus or of an evaluation list.

    Example: seedpipe manifest data/demo data_manifests/train
    """
    from seedpipe import pipeline
    from seedpipe.audio import layout, read_manifest

    if names and not evaluation:
        raise typer.BadParameter("is for the utterances of a --list", param_hint="--names")
    loaded = read_params(params, no_params, changes, ("manifest", "audio", "extract", "machine"))
    listed = params or root == loaded.manifest.root or any(one.startswith("manifest.eval") for one in changes or ())
    known = {"root": root} if listed else {"root": root, "evaluations": layout.evaluation_lists(root)}
    loaded = loaded.model_copy(update={"manifest": loaded.manifest.model_copy(update=known)})
    if channel:
        loaded = loaded.model_copy(update={"audio": loaded.audio.model_copy(update={"channel": _channel(channel)})})
    progress = ProgressBar("manifest", "files")
    remarks = (
        pipeline.evaluation_manifests(loaded, evaluation, out, progress, names=names)
        if evaluation
        else pipeline.training_manifests(loaded, out, progress)
    )
    for remark in remarks:
        say(f"seedpipe: {remark}")
    speech = read_manifest(out / "speech.csv")
    result = {"folder": str(out), "utterances": len(speech), "seconds": speech.seconds}
    show(result, f"{out}: {counted(len(speech), 'utterance')}, {speech.seconds / 3600:.2f} h", as_json=json)


def _channel(text: str) -> Channel:
    if text == "mean" or text.isdecimal():
        return "mean" if text == "mean" else int(text)
    raise typer.BadParameter(f"{text!r} is neither mean nor a number from 0 on", param_hint="--channel")
