"""``seedpipe enhance``: embeddings of files, caches or audio through a trained enhancer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from seedpipe.cli import usual
from seedpipe.cli.common import MAX_SEED, Changes, Device, Json, NoParams, ParamsFile, read_params
from seedpipe.console import ProgressBar, resumable, say, show
from seedpipe.errors import counted

__all__ = ["enhance"]

Noise = Literal["zero", "sampled"] | int


@resumable(lambda given: given.get("network") is not None)  # what the network has done of audio is kept
def enhance(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model folder.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Embeddings: .npy (..., D), .npz, .parquet, Kaldi .ark or .scp, a cache; or audio, with --network.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT", help="A .npy, .npz, .parquet or .ark file; without an extension, the folder of a cache."
        ),
    ],
    network: Annotated[
        str | None,
        typer.Option(
            autocompletion=usual.networks, help="Audio: what embeds it, the network that the model was trained for."
        ),
    ] = None,
    ids: Annotated[Path | None, typer.Option(help="Names of the rows of an .npy file, one a line.")] = None,
    t: Annotated[int | None, typer.Option(min=0, max=999, help="Timestep at which an embedding enters.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Network evaluations from there to 0: more than one is DDIM.")
    ] = None,
    ensemble: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the enhanced embedding in the result.")
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            metavar="zero|sampled|M",
            autocompletion=usual.one_of("zero", "sampled"),
            help="Noise before the network; M is the mean over M sampled noises.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_SEED, help="Seed of the noise, where it is sampled; 0 if not given.")
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where the enhancer and the network run.")] = None,
    params: ParamsFile = None,
    no_params: NoParams = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Enhance embeddings, or the speech in audio files. What is not given is as the model says.

    Names are kept wherever the format of the result has them.

    Example: seedpipe enhance models/dvector/seed embeddings.npz enhanced.npz

    Example: seedpipe enhance models/dvector/seed speech enhanced.npz --network networks/dvector
    """
    wanted = _noise(noise)
    if seed is not None and wanted == "zero":
        raise typer.BadParameter("there is no noise to be seeded with --noise zero", param_hint="--seed")
    for option, value in (("--params", params), ("--no-params", no_params), ("--set", changes)):
        if value and network is None:
            raise typer.BadParameter("is for audio, which wants --network", param_hint=option)
    if ids is not None and source.suffix != ".npy":
        raise typer.BadParameter("is for .npy files; others bring their names", param_hint="--ids")
    if ids is not None and network is not None:
        raise typer.BadParameter("is for embeddings, not for audio", param_hint="--ids")
    if ids is None and source.suffix == ".npy" and out.suffix not in (".npy", ""):
        raise typer.BadParameter("an .npy file has no names for its rows: give them, or write .npy", param_hint="--ids")

    from seedpipe.enhancers.files import Use, enhance_file

    known = read_params(params, no_params, changes, ("audio", "extract", "machine"), {"extract.networks": "--network"})
    machine = known.machine.model_copy(update={"device": device.value}) if device else known.machine
    result = enhance_file(
        model,
        source,
        out,
        Use(t, steps, ensemble, wanted, seed),
        ids=ids,
        network=network,
        params=known.model_copy(update={"machine": machine}),
        progress=ProgressBar("enhance", "embeddings" if network is None else "utterances"),
    )
    rate = result.rows / max(result.seconds, 1e-9)
    for remark in result.remarks:
        say(f"seedpipe: {remark}")
    files = [str(path) for path in result.files]
    text = f"{', '.join(files)}: {counted(result.rows, 'enhanced embedding')}, {result.dimension}-d, {rate:,.0f}/s"
    figures = {"rows": result.rows, "dimension": result.dimension, "rows_per_second": rate}
    show({"files": files} | figures, text, as_json=json)


def _noise(text: str | None) -> Noise | None:
    if text in (None, "zero", "sampled"):
        return cast("Noise | None", text)
    if text and text.isdecimal() and int(text) > 0:
        return int(text)
    raise typer.BadParameter(f"{text!r} is none of zero, sampled and a number from 1", param_hint="--noise")
