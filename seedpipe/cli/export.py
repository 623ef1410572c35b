"""``seedpipe export``: the enhancer for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seedpipe.cli import usual
from seedpipe.cli.common import Json
from seedpipe.cli.usual import Command, Group
from seedpipe.console import guarded, say, show

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    name="export",
    help="Write an enhancer, or network and enhancer, for other runtimes.",
    no_args_is_help=True,
)


@app.command(cls=Command)
@guarded
def onnx(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    out: Annotated[Path, typer.Argument(help="The graph, an .onnx file.")],
    noise: Annotated[
        bool, typer.Option("--noise", help="Make the noise a second input; without it the noise is zero.")
    ] = False,
    network: Annotated[
        str | None,
        typer.Option(
            autocompletion=usual.networks,
            help="The model's network, in front of it: one graph from audio to embedding.",
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="With --network: weights in 8 bits.")] = False,
    json: Json = False,
) -> None:
    """Write an enhancer as an ONNX graph, perhaps behind its network, and compare it with torch in onnxruntime.

    Example: seedpipe export onnx models/dvector/seed seed.onnx

    Example: seedpipe export onnx models/dvector/seed --network dvector deployed.onnx
    """
    from seedpipe.enhancers import Enhancer, export_fused, export_onnx, load_enhancer
    from seedpipe.errors import ModelError

    if noise and network is not None:
        raise typer.BadParameter("is for an enhancer alone", param_hint="--noise")
    if int8 and network is None:
        raise typer.BadParameter("is for a network with its enhancer: give --network", param_hint="--int8")

    enhancer = load_enhancer(model)
    if not isinstance(enhancer, Enhancer):
        raise ModelError(f"is an enhancer of the kind {enhancer.kind}", expected="seed or regression", file=model)
    if network is not None:
        fused = export_fused(enhancer, network, out, int8=int8)
        text = f"{out}: {fused.input} to {enhancer.dimension}-d embedding, {fused.bytes / 1e6:.1f} MB"
        text += f"; cosine to torch {fused.cosine:.6f}"
        facts = {"out": str(out), "input": fused.input, "dimension": enhancer.dimension, "bytes": fused.bytes}
        if fused.remark:
            say(f"seedpipe: {fused.remark}")
        show(facts | {"cosine": fused.cosine}, text, as_json=json)
        return
    difference = export_onnx(enhancer, out, noise=noise)
    inputs = ["embeddings", "noise"] if noise else ["embeddings"]
    compared = "not compared with torch, as onnxruntime is not installed"
    if difference is not None:
        compared = f"at most {difference:.1e} from torch in onnxruntime"
    text = f"{out}: {' and '.join(inputs)} (rows, {enhancer.dimension}) to enhanced; {compared}"
    result = {"out": str(out), "inputs": inputs, "dimension": enhancer.dimension, "largest_difference": difference}
    show(result, text, as_json=json)
