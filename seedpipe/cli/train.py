"""``seedpipe train``: stage two."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seedpipe.cli.common import MAX_SEED, Changes, Device, Json, Kind, NoParams, ParamsFile, read_params
from seedpipe.console import ProgressBar, resumable, say, show

if TYPE_CHECKING:
    from seedpipe.params import Params

__all__ = ["train"]

CLOSED_FORM = ("centering", "whitening", "ridge", "none")


class Log(StrEnum):
    """Values of ``machine.log``, but for none."""

    tensorboard = "tensorboard"
    dvclive = "dvclive"


@resumable(lambda given: given.get("enhancer", Kind.seed) in (Kind.seed, Kind.regression))
def train(
    cache: Annotated[Path, typer.Argument(help="Training cache.")],
    out: Annotated[Path, typer.Argument(help="Model folder; an older one is replaced when training has ended well.")],
    enhancer: Annotated[Kind, typer.Option(help="SEED, or a baseline: see docs/enhancers.md.")] = Kind.seed,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_SEED, help="Instead of the seed in the parameters.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Instead of the length in the parameters.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Instead of the length in the parameters: passes over the rows.")
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where to train.")] = None,
    log: Annotated[
        Log | None, typer.Option(help="Write the curve as it grows, too, into OUT.tensorboard or OUT.dvclive.")
    ] = None,
    params: ParamsFile = None,
    no_params: NoParams = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Train SEED, or a baseline, on a cache.

    Example: seedpipe train cache/dvector/train models/dvector/seed --steps 630
    """
    from seedpipe.cache import open_cache
    from seedpipe.enhancers import train_on_cache
    from seedpipe.workers import choose_device

    if log is not None and enhancer.value in CLOSED_FORM:
        raise typer.BadParameter(f"{enhancer.value} is not trained in steps and has no curve", param_hint="--log")
    sections = ("train", "enhancers", "machine")
    known = read_params(params, no_params, changes, sections, {"enhancers.names": "--enhancer"})
    settings = _with(known, enhancer.value, seed=seed, steps=steps, epochs=epochs)
    place = choose_device(device.value if device else settings.machine.device)
    trained, result = train_on_cache(
        enhancer.value,
        open_cache(cache),
        out,
        settings,
        device=place,
        log=log.value if log else settings.machine.log,
        progress=ProgressBar("train", "steps").training,
    )
    for remark in result.remarks:
        say(f"note: {remark}")
    for warning in result.warnings:
        say(f"warning: {warning}")
    eer = result.held_out_eer
    held_out = "" if eer is None else f"; held-out EER {100 * eer[0]:.2f} % before, {100 * eer[1]:.2f} % after"
    show({"model": str(out)} | result.as_dict(), f"{out}: {trained!r}{held_out}", as_json=json)


def _with(params: Params, kind: str, **options: int | None) -> Params:
    """The parameters with the options in the place of those of the enhancer."""
    given = {name: value for name, value in options.items() if value is not None}
    if kind in CLOSED_FORM and given:
        raise typer.BadParameter(
            f"{kind} is not trained in steps and draws nothing", param_hint=f"--{next(iter(given))}"
        )
    if {"steps", "epochs"} <= given.keys():
        raise typer.BadParameter("give --epochs or --steps, not both", param_hint="--steps")
    if kind == "drl":
        if "steps" in given:
            raise typer.BadParameter("drl is trained in epochs", param_hint="--steps")
        drl = params.enhancers.drl.model_copy(update=given)
        return params.model_copy(update={"enhancers": params.enhancers.model_copy(update={"drl": drl})})
    if "steps" in given:
        given["epochs"] = 0
    return params.model_copy(update={"train": params.train.model_copy(update=given)})
