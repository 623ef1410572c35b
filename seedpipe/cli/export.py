"""``seedpipe export``: the enhancer for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seedpipe.cli.common import Json
from seedpipe.console import guarded, show

__all__ = ["app"]

app = typer.Typer(name="export", help="Write an enhancer for other runtimes.", no_args_is_help=True)


@app.command()
@guarded
def onnx(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    out: Annotated[Path, typer.Argument(help="The graph, an .onnx file.")],
    noise: Annotated[
        bool, typer.Option("--noise", help="Make the noise a second input; without it the noise is zero.")
    ] = False,
    json: Json = False,
) -> None:
    """Write an enhancer as an ONNX graph and compare it with the enhancer, where onnxruntime is installed.

    Example: seedpipe export onnx models/dvector/seed seed.onnx
    """
    from seedpipe.enhancers import Enhancer, export_onnx, load_enhancer
    from seedpipe.errors import ModelError

    enhancer = load_enhancer(model)
    if not isinstance(enhancer, Enhancer):
        raise ModelError(f"is an enhancer of the kind {enhancer.kind}", expected="seed or regression", file=model)
    difference = export_onnx(enhancer, out, noise=noise)
    inputs = ["embeddings", "noise"] if noise else ["embeddings"]
    compared = "not compared with torch, as onnxruntime is not installed"
    if difference is not None:
        compared = f"at most {difference:.1e} from torch in onnxruntime"
    text = f"{out}: {' and '.join(inputs)} (rows, {enhancer.dimension}) to enhanced; {compared}"
    result = {"out": str(out), "inputs": inputs, "dimension": enhancer.dimension, "largest_difference": difference}
    show(result, text, as_json=json)
