"""Diffusion on embeddings: noise schedule, the SEED network and its sampler, in the paper's symbols.

====================  ==============================================================================================
x_0                   clean embedding, shape (..., D)
y_0                   noisy embedding of the same utterance; in use, every embedding is treated as y_0
t                     timestep, 0 <= t < T = 1000
beta_t                variance of the noise that step t adds
abar_t                product of 1 - beta up to t, ``alphas_cumprod[t]``
eps                   standard normal noise
x_t, y_t              sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, eqs. (3) and (4)
f(x_t, t)             the SEED network; it predicts x_0 (sample prediction, eq. 9), or eps or v, which stand for one
S                     its linear skip, where it has one: f(x_t, t) = S x_t + MLP(x_t, t)
v                     sqrt(abar_t) eps - sqrt(1 - abar_t) x_0
====================  ==============================================================================================

A batch has B rows: x_0, y_0, eps, x_t and y_t are float32 Tensors of shape (B, D), t is int64 of shape (B,) or (1,).

Source: SEED, Interspeech 2025, section 3; the MLP is that of RCG (Li et al., 2023) without its context layer; v is that
of Salimans and Ho (2022).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from seedpipe.params import TrainParams

TIMESTEPS = 1000
Denoiser: TypeAlias = Callable[[Tensor, Tensor], Tensor]
BLOCKS = 3


class Schedule:
    """The noise schedule, what the network predicts under it, and the sampler.

    Parameters
    ----------
    betas : {'linear', 'scaled_linear', 'squaredcos_cap_v2', 'none'}
        How beta_t grows with t, in the names of diffusers; the paper's is ``scaled_linear``, linear in sqrt(beta_t).
        ``none`` has the one timestep 0, which adds no noise: with it, f(y_0, 0) is a plain regression.
    beta_start, beta_end : float
        First and last beta_t; ``squaredcos_cap_v2`` has its own.
    prediction : {'sample', 'epsilon', 'v'}
        What the output of the network stands for.

    Attributes
    ----------
    alphas_cumprod : Tensor of float32, shape (T,)
        The length is 1 where nothing is diffused.
    """

    def __init__(
        self,
        betas: str = "scaled_linear",
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        prediction: Literal["sample", "epsilon", "v"] = "sample",
    ) -> None:
        self.prediction = prediction
        self.alphas_cumprod: Tensor = torch.ones(1)
        if betas == "none":
            return
        # Importing diffusers takes seconds.
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler

        scheduler = DDIMScheduler(
            num_train_timesteps=TIMESTEPS, beta_schedule=betas, beta_start=beta_start, beta_end=beta_end
        )
        self.alphas_cumprod = scheduler.alphas_cumprod

    @classmethod
    def of(cls, params: TrainParams) -> Schedule:
        """The schedule that a model was or will be trained with."""
        return cls(params.beta_schedule, params.beta_start, params.beta_end, params.prediction)

    def to(self, device: str | torch.device) -> Schedule:
        """Move the schedule to where embeddings are."""
        self.alphas_cumprod = self.alphas_cumprod.to(device)
        return self

    def add_noise(self, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Take embeddings forward to timestep t, eqs. (3) and (4)."""
        abar = self._abar(t)
        return abar.sqrt() * x_0 + (1 - abar).sqrt() * eps

    def predict(self, network: Denoiser, x_t: Tensor, t: Tensor) -> Tensor:
        """What the network f says of x_0: its output, or by eqs. (5) and (6) what an output of eps or v means."""
        output = network(x_t, t).float()
        abar = self._abar(t)
        if self.prediction == "epsilon":
            return (x_t - (1 - abar).sqrt() * output) / abar.sqrt()
        if self.prediction == "v":
            return abar.sqrt() * x_t - (1 - abar).sqrt() * output
        return output

    def sample(
        self, network: Denoiser, y_0: Tensor, eps: Tensor, *, t: int, steps: int = 1, clip: float = math.inf
    ) -> Tensor:
        """Enhance in one step, f(y_t, t) (section 3.4), or in several of DDIM (eta = 0) evenly spaced from t to 0.

        Parameters
        ----------
        network : callable
            f, see :class:`SeedMLP`.
        y_0, eps : Tensor
            Embeddings, and the noise that takes them to y_t; zeros are allowed.
        t : int
            Where embeddings enter.
        steps : int
            Number of network evaluations.
        clip : float
            Each prediction of x_0 is clipped to [-clip, clip].

        Notes
        -----
        The authors' code samples in K steps from t = (K - 1) floor(T / K), as the scheduler of diffusers spaces them:
        with K = 7 from 852, in steps of 142.
        """
        # One timestep for all rows: the network embeds it once.
        times = torch.split(torch.from_numpy(np.linspace(t, 0, steps).round().astype(np.int64)).to(y_0.device), 1)
        sample = self.add_noise(y_0, eps, times[0])
        for now, following in itertools.pairwise(times):
            x_0 = self.predict(network, sample, now)
            abar = self._abar(now)
            direction = (sample - abar.sqrt() * x_0) / (1 - abar).sqrt()
            sample = self.add_noise(x_0.clamp(-clip, clip), direction, following)
        return self.predict(network, sample, times[-1]).clamp(-clip, clip)

    def _abar(self, t: Tensor) -> Tensor:
        return self.alphas_cumprod[t][:, None]


class SeedMLP(nn.Module):
    """The SEED network f(x_t, t): three residual blocks of width c = 2D, conditioned on t.

    Parameters
    ----------
    dimension : int
        D, length of an embedding.
    skip : Tensor, shape (D, D), optional
        S of :mod:`seedpipe.enhancers.skip`; it is fixed, and the MLP learns what it leaves.

    Notes
    -----
    Entries of the state dict carry the names of the authors' checkpoints. The last layer of every block and the output
    start at zero, so the untrained network gives zeros, or what the skip gives.
    """

    skip: Tensor | None

    def __init__(self, dimension: int, skip: Tensor | None = None) -> None:
        super().__init__()
        self.dimension, width = dimension, 2 * dimension
        self.register_buffer("skip", skip)
        self.time_embed = nn.Sequential(nn.Linear(width, dimension), nn.SiLU(), nn.Linear(dimension, dimension))
        self.input_proj = nn.Linear(dimension, width)
        self.res_blocks = nn.ModuleList(_Block(width, dimension) for _ in range(BLOCKS))
        self.out = nn.Sequential(nn.LayerNorm(width, eps=1e-6), nn.SiLU(), _zero(nn.Linear(width, dimension)))

    def forward(self, x_t: Tensor, t: Tensor, residual: float = 1.0) -> Tensor:
        """Predict x_0, or what stands for it; beside a skip, ``residual`` is the share that the MLP has in it."""
        linear = None if self.skip is None else functional.linear(x_t, self.skip)
        if linear is not None and residual == 0:
            return linear
        time = self.time_embed(sinusoidal_embedding(t, 2 * self.dimension))
        hidden = self.input_proj(x_t)
        for block in self.res_blocks:
            hidden = block(hidden, time)
        prediction: Tensor = self.out(hidden)
        return prediction if linear is None else linear + residual * prediction


class _Block(nn.Module):
    """x + Linear(SiLU(LN(h))) with h = Linear(SiLU(LN(x))) + Linear(SiLU(time))."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, width))
        # The reference has a dropout of rate 0 in third place; the identity keeps its numbering.
        self.out_layers = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Identity(), _zero(nn.Linear(width, width)))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, c) and (B, D) or (1, D) -> (B, c)."""
        hidden: Tensor = x + self.out_layers(self.in_layers(x) + self.emb_layers(time))
        return hidden


def sinusoidal_embedding(t: Tensor, size: int) -> Tensor:
    """Embed timesteps (B,) into (B, size): ``size / 2`` cosines, then as many sines, of periods 2 pi to 2 pi 10,000."""
    half = size // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t[:, None].float() * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=1)


def _zero(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
