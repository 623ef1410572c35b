"""The enhancer for other runtimes: ONNX, with the normalisation and the ensemble inside."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seedpipe.enhancers.seed import WITHOUT_NETWORK, Enhancer
from seedpipe.errors import MissingExtraError, ModelError, install
from seedpipe.files import StrPath, whole_file

OPSET = 17
TRACED_ROWS = 2  # the number is free in the exported graph
COMPARED_ROWS = 1_000
TOLERANCE = 1e-4  # of entries of unit-length embeddings


def export_onnx(enhancer: Enhancer, path: StrPath, *, noise: bool = False) -> float | None:
    """Write an enhancer as an ONNX graph, float32, any number of rows.

    Where onnxruntime is installed, the graph is run and compared with the enhancer before it takes its name.

    Parameters
    ----------
    enhancer : Enhancer
    path : str or PathLike
    noise : bool
        Whether the noise eps is a second input, so that whoever runs the graph decides on its source. Without it the
        noise is zero, and the same input gives the same output.

    Returns
    -------
    float or None
        Largest difference to the enhancer on random embeddings; None where onnxruntime is not installed.

    Raises
    ------
    MissingExtraError
        The package onnx is not installed.
    ModelError
        Noise is wanted of a regression or of a model that leaves its network out, or the graph differs from the
        enhancer by more than 1e-4; nothing has been written.

    Notes
    -----
    Inputs are ``embeddings`` (B, D) and perhaps ``noise`` (B, D), the output is ``enhanced`` (B, D), of unit length.
    The metadata name the speaker network, its fingerprint and how an embedding enters.
    """
    path = Path(path)
    onnx = expect_onnx()
    if noise and enhancer.kind == "regression":
        raise ModelError("this model is a regression: it takes no noise", remedy="export it without noise", file=path)
    if noise and enhancer.config.use in WITHOUT_NETWORK:
        found = f"this model leaves its network out ({enhancer.config.use}): it takes no noise"
        raise ModelError(found, remedy="export it without noise", file=path)
    names = ["embeddings", "noise"] if noise else ["embeddings"]
    model = onnx.load_from_string(
        traced(EnhancerGraph(enhancer), torch.zeros(TRACED_ROWS, enhancer.dimension), names, "enhanced")
    )
    onnx.helper.set_model_props(model, facts(enhancer, noise=noise))
    onnx.checker.check_model(model)
    graph = model.SerializeToString(deterministic=True)
    difference = _difference(graph, enhancer, names, path)
    with whole_file(path) as partial:
        partial.write_bytes(graph)
    return difference


def expect_onnx() -> Any:
    """The package onnx.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("the package onnx is not installed", remedy=install("onnx")) from error
    return onnx


def traced(
    module: nn.Module, example: Tensor, names: Sequence[str], output: str, axes: Sequence[str] = ("rows",)
) -> bytes:
    """A module as an ONNX graph whose inputs are all like an example.

    Parameters
    ----------
    module : Module
    example : Tensor
    names : sequence of str
        Of the inputs.
    output : str
        Of the output, whose first axis is free.
    axes : sequence of str
        Names of the first axes of the inputs, which are free.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode(mode=False):
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated; its successor needs another package
        torch.onnx.export(
            module,
            (example,) * len(names),
            buffer,  # type: ignore[arg-type]  # the annotation knows of files only
            dynamo=False,
            input_names=list(names),
            output_names=[output],
            dynamic_axes={name: dict(enumerate(axes)) for name in names} | {output: {0: axes[0]}},
            opset_version=OPSET,
        )
    return buffer.getvalue()


def _difference(graph: bytes, enhancer: Enhancer, names: list[str], path: Path) -> float | None:
    """Largest difference between the graph in onnxruntime and the enhancer in torch; refused beyond the tolerance."""
    try:
        import onnxruntime
    except ImportError:
        return None
    generator = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(COMPARED_ROWS, enhancer.dimension, generator=generator) for name in names}
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: rows.numpy() for name, rows in inputs.items()})
    expected = EnhancerGraph(enhancer)(**inputs)
    difference = float((torch.from_numpy(found) - expected).abs().max())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"the graph differs from the enhancer by {difference:.1e} in onnxruntime {onnxruntime.__version__}",
            expected=f"{TOLERANCE:g} at most",
            remedy="try other releases of onnx and onnxruntime",
            file=path,
        )
    return difference


def facts(enhancer: Enhancer, *, noise: bool) -> dict[str, str]:
    """What the metadata of a graph say of an enhancer."""
    network, use = enhancer.config.network, enhancer.config.train
    return {
        "network": network.name,
        "fingerprint": network.fingerprint,
        "t": str(use.inference_step),
        "steps": str(use.inference_steps),
        "noise": "input" if noise else "zero",
        "seedpipe": enhancer.config.seedpipe,
    }


class EnhancerGraph(nn.Module):
    """The computation that is traced."""

    def __init__(self, enhancer: Enhancer) -> None:
        super().__init__()
        self.network, self.enhancer = enhancer.module, enhancer

    def forward(self, embeddings: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, D) -> (B, D)."""
        eps = torch.zeros_like(embeddings) if noise is None else noise
        return self.enhancer.forward(embeddings, [eps], self.enhancer.config.train)
