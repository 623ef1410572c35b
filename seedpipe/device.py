"""Where networks, training and scoring run."""

from __future__ import annotations

from typing import Literal, TypeAlias

from seedpipe.errors import ParamsError

__all__ = ["Wanted", "choose_device"]

Wanted: TypeAlias = Literal["auto", "cpu", "cuda"]


def choose_device(wanted: Wanted) -> str:
    """The device that is meant: ``auto`` is the GPU where there is one.

    Raises
    ------
    ParamsError
        CUDA is asked for and there is none.
    """
    import torch

    if wanted == "cpu":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ParamsError("there is no CUDA device", remedy="set machine.device: auto, or --device auto")
    return "cpu"
