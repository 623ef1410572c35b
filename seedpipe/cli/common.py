"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seedpipe.params import Params

__all__ = ["MAX_SEED", "Device", "Json", "Kind", "ParamsFile", "load_params_or_defaults"]

MAX_SEED = 2**63 - 1  # what a torch.Generator takes
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ParamsFile = Annotated[
    Path | None, typer.Option("--params", help="A params.yaml; without one, the defaults of every parameter.")
]


class Device(StrEnum):
    """Values of ``machine.device``."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Kind(StrEnum):
    """Values of ``enhancers.names``."""

    seed = "seed"
    regression = "regression"
    whitening = "whitening"
    drl = "drl"
    none = "none"


def load_params_or_defaults(path: Path | None) -> Params:
    """Read a params.yaml, or take the default of every parameter."""
    from seedpipe.params import Params, load_params

    return Params() if path is None else load_params(path)
