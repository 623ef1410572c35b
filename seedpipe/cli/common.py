"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seedpipe.cli import usual
from seedpipe.console import detail, say

if TYPE_CHECKING:
    from seedpipe.params import Params

__all__ = [
    "MAX_SEED",
    "Changes",
    "Device",
    "Json",
    "Kind",
    "NoParams",
    "ParamsFile",
    "expect_apart",
    "expect_extension",
    "read_params",
]

MAX_SEED = 2**63 - 1  # what a torch.Generator takes
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ParamsFile = Annotated[
    Path | None, typer.Option("--params", help="A params.yaml; in the folder of a project, its own by default.")
]
NoParams = Annotated[
    bool, typer.Option("--no-params", help="Leave the params.yaml of the project: the defaults of every parameter.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-S",
        metavar="KEY=VALUE",
        autocompletion=usual.changes,
        help="Another value, as train.epochs=5; may be repeated.",
    ),
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
    centering = "centering"
    whitening = "whitening"
    ridge = "ridge"
    drl = "drl"
    none = "none"


def expect_extension(path: Path | None, option: str, *known: str) -> None:
    """Refuse the name of an output that promises another format than the one that is written."""
    if path is not None and path.suffix.lower() not in known:
        raise typer.BadParameter(f"'{path}' does not end in {' or '.join(known)}", param_hint=option)


def read_params(
    path: Path | None,
    no_params: bool,
    changes: Sequence[str] | None,
    sections: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
) -> Params:
    """Read the parameters that the options ask for; a project's own where no others are given.

    A change is refused that the command would take and ignore: of a section that is not among ``sections``, which it
    reads, or of a key in whose place it has an option, as ``options`` says.
    """
    from seedpipe.params import Params, load_params

    for key in (change.partition("=")[0].strip() for change in changes or ()):
        section = key.partition(".")[0]
        if section in Params.model_fields and section not in sections:
            raise typer.BadParameter(
                f"{key} changes nothing here: the command reads {', '.join(sections)}", param_hint="--set"
            )
        if option := (options or {}).get(key):
            raise typer.BadParameter(f"{key} changes nothing here: give {option}", param_hint="--set")
    known = Params()
    own = Path("params.yaml")
    if path is not None and no_params:
        raise typer.BadParameter("give --params or --no-params, not both", param_hint="--no-params")
    if path is None and not no_params and own.is_file():
        if Path("dvc.yaml").is_file():
            detail(f"seedpipe: parameters of {own.absolute()}; --no-params leaves them")
            path = own
        else:
            say("seedpipe: params.yaml is not used, as no dvc.yaml makes this folder a project; --params takes it")
    return load_params(path, changes or ()) if path is not None or changes else known


def expect_apart(out: Path, others: Iterable[Path], hint: str) -> None:
    """Refuse to write over a file that the command reads, or that it writes as well."""
    if out.resolve() in {other.resolve() for other in others}:
        raise typer.BadParameter(f"'{out}' would be written over", param_hint=hint)
