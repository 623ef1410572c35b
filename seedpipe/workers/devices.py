"""On which device networks run."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

from seedpipe.errors import ParamsError, counted

WantedDevice: TypeAlias = Literal["auto", "cpu", "cuda"]


def choose_device(wanted: WantedDevice) -> str:
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


def visible_gpus(most: int = 0) -> tuple[str, ...]:
    """The GPUs that this process sees, as ``CUDA_VISIBLE_DEVICES`` names them; the first ``most`` of them, 0 for all.

    Raises
    ------
    ParamsError
        There are fewer.
    """
    import torch

    count = torch.cuda.device_count()
    if most > count:
        raise ParamsError(
            f"found {counted(count, 'GPU')}",
            expected=f"machine.gpus: {most}",
            remedy="set machine.gpus: 0 for all of them",
        )
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = named.split(",") if named else map(str, range(count))
    return tuple(name.strip() for name in names)[: most or count]
