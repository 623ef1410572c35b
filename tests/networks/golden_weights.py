"""Weights and waveforms by the formula of golden/README.md, and state dicts as checkpoints have them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from seedpipe.networks.layers import computed_entries

RATE = 16_000


def generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))


def formula_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    w = generator(name).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        w = np.zeros(shape)
    elif name.endswith("running_var"):
        w = 0.5 + np.abs(w)
    elif name.endswith(("running_mean", "bias")):
        w = 0.1 * w
    elif len(shape) >= 2:
        w = w / np.sqrt(np.prod(shape[1:]))
    elif name.endswith("weight"):
        w = 1 + 0.1 * w
    else:
        w = 0.1 * w
    return torch.from_numpy(np.asarray(w, dtype=np.float32))


def formula_waves(key: str, rows: int, samples: int) -> Tensor:
    r = generator(key)
    seconds = np.arange(samples) / RATE
    waves = [
        0.05 * r.standard_normal(samples)
        + 0.3 * np.sin(2 * np.pi * (110 + 40 * row) * seconds) * np.sin(2 * np.pi * 3 * seconds)
        for row in range(rows)
    ]
    return torch.from_numpy(np.stack(waves).astype(np.float32))


def formula_state(module: nn.Module) -> dict[str, Tensor]:
    """A state dict of the module with every learnt entry by the formula; what is computed stays."""
    own = module.state_dict()
    learnt = own.keys() - computed_entries(module)
    return {n: formula_weight(n, tuple(v.shape)).to(v.dtype) if n in learnt else v for n, v in own.items()}


def prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}
