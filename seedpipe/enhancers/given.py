"""What callers give: arrays, tensors and lists as rows of float32, with nothing dropped on the way."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from seedpipe.cache import expect_real
from seedpipe.errors import ModelError, SeedpipeError

__all__ = ["as_array", "as_tensor", "expect_generator"]


def as_array(values: ArrayLike | Tensor, name: str, error: type[SeedpipeError] = ModelError) -> NDArray[np.float32]:
    """What a caller gave as an array of float32; what float32 does not hold becomes infinite, for others to refuse.

    Raises
    ------
    SeedpipeError
        Of the type ``error``: it is ragged, holds no numbers, or float32 would keep a part of it only.
    """
    if isinstance(values, Tensor):
        expect_real(values, name, error)
        values = values.detach().to("cpu", torch.float32).numpy()
    try:
        expect_real(values, name, error)
        with np.errstate(over="ignore"):
            return np.asarray(values, dtype=np.float32)
    except (ValueError, TypeError) as reason:
        found = f"{name} are no array of numbers ({reason})"
        raise error(found, expected="an array, a tensor or lists of one length") from reason


def as_tensor(embeddings: NDArray[np.float32] | Tensor) -> Tensor:
    """Rows as a tensor, without a copy where none is needed."""
    if isinstance(embeddings, Tensor):
        return embeddings.detach()
    # Reversed and read-only arrays (memory maps) are copied: torch refuses the one and warns of the other.
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.require(embeddings, np.float32, ["C", "W"]))


def expect_generator(generator: object) -> None:
    """Refuse what is no generator, as a t that is given by position; without sampled noise nothing would look at it."""
    if not isinstance(generator, torch.Generator | None):
        raise ModelError(
            f"the generator is of the type {type(generator).__name__}",
            expected="a torch.Generator, as torch.Generator().manual_seed(0), or none",
            remedy="give t and other settings by name, as t=100",
        )
