"""``seedpipe demo-corpus`` and ``seedpipe manifest``: what audio there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seedpipe.cli.common import MAX_SEED, Json, ParamsFile, load_params_or_defaults
from seedpipe.console import Progress, guarded, say, show

__all__ = ["demo_corpus", "manifest"]


@guarded
def demo_corpus(
    out: Annotated[Path, typer.Argument(help="Folder of the corpus; an older one there is replaced.")],
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of everything in it.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    json: Json = False,
) -> None:
    """Make the synthetic demonstration corpus: espeak-ng voices, noise, music, rooms and a trial list.

    Example: seedpipe demo-corpus data/demo
    """
    from seedpipe.demo import build_demo_corpus

    made = build_demo_corpus(out, seed=seed, jobs=jobs, progress=Progress("demo-corpus", "parts"))
    result = {"folder": str(made.folder), "files": made.files, "seconds": made.seconds, "synthetic": True}
    show(result, f"{made.folder}: {made.files} files, {made.seconds / 60:.0f} min of synthetic audio", as_json=json)


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
    from seedpipe import layout
    from seedpipe.manifest import read_manifest

    loaded = load_params_or_defaults(params)
    settings = loaded.manifest.model_copy(update={"root": root})
    progress = Progress("manifest", "files")
    if evaluation:
        layout.write_evaluation_manifests(settings, evaluation, out, jobs=loaded.machine.workers, progress=progress)
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
