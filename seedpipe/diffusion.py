"""Diffusion on embeddings: noise schedule, the SEED network and its sampler, in the paper's symbols.

====================  ==============================================================================================
x_0                   clean embedding, shape (..., D)
y_0                   noisy embedding of the same utterance; in use, every embedding is treated as y_0
t                     timestep, 0 <= t < T = 1000
abar_t                cumulative product of the noise schedule, ``alphas_cumprod[t]``
eps                   standard normal noise
x_t, y_t              sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, eqs. (3) and (4)
f(x_t, t)             the SEED network; it predicts x_0 (sample prediction, eq. 9)
====================  ==============================================================================================

Source: SEED, Interspeech 2025, section 3; the MLP is that of RCG (Li et al., 2023) without its context layer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

__all__ = ["TIMESTEPS", "Schedule", "SeedMLP", "sinusoidal_embedding"]

TIMESTEPS = 1000
BLOCKS = 3


class Schedule:
    """The noise schedule of the paper: ``scaled_linear`` from beta 0.0001 to 0.02 over T = 1000 steps.

    Attributes
    ----------
    alphas_cumprod : Tensor of float32, shape (T,)
    """

    def __init__(self) -> None:
        self.alphas_cumprod: Tensor = _scheduler().alphas_cumprod

    def add_noise(self, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Take embeddings forward to timestep t, eqs. (3) and (4).

        Parameters
        ----------
        x_0, eps : Tensor, shape (B, D)
        t : Tensor of int64, shape (B,)

        Returns
        -------
        Tensor, shape (B, D)
        """
        abar = self.alphas_cumprod.to(x_0.device)[t][:, None]
        return abar.sqrt() * x_0 + (1 - abar).sqrt() * eps

    def single_step(self, network: nn.Module, y_0: Tensor, eps: Tensor, t: int) -> Tensor:
        """Enhance in one step, f(y_t, t) (section 3.4).

        Parameters
        ----------
        network : Module
            f, see :class:`SeedMLP`.
        y_0, eps : Tensor, shape (B, D)
            Embeddings, and the noise that takes them to y_t; zeros are allowed.
        t : int

        Returns
        -------
        Tensor, shape (B, D)
        """
        steps = torch.full((len(y_0),), t, device=y_0.device)
        enhanced: Tensor = network(self.add_noise(y_0, eps, steps), steps)
        return enhanced

    def ddim(self, network: nn.Module, y_0: Tensor, eps: Tensor, *, steps: int, clip: float) -> Tensor:
        """Enhance in several deterministic DDIM steps (eta = 0), evenly spaced from almost T down to 0.

        Parameters
        ----------
        network : Module
            f, see :class:`SeedMLP`.
        y_0, eps : Tensor, shape (B, D)
        steps : int
            Number of network evaluations; the first is at t = T - T / steps.
        clip : float
            Each prediction of x_0 is clipped to [-clip, clip].

        Returns
        -------
        Tensor, shape (B, D)
        """
        scheduler = _scheduler(clip)
        scheduler.set_timesteps(steps)
        first = int(scheduler.timesteps[0])
        sample = self.add_noise(y_0, eps, torch.full((len(y_0),), first, device=y_0.device))
        for t in scheduler.timesteps:
            prediction = network(sample, t.to(sample.device).expand(len(sample)))
            sample = scheduler.step(prediction, t, sample, eta=0.0, return_dict=False)[0]
        return sample


class SeedMLP(nn.Module):
    """The SEED network f(x_t, t): three residual blocks of width c = 2D, conditioned on t.

    Parameters
    ----------
    dimension : int
        D, length of an embedding.

    Notes
    -----
    Entries of the state dict carry the names of the authors' checkpoints. The last layer of every block and the output
    start at zero, so the untrained network gives zeros.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension, width = dimension, 2 * dimension
        self.time_embed = nn.Sequential(nn.Linear(width, dimension), nn.SiLU(), nn.Linear(dimension, dimension))
        self.input_proj = nn.Linear(dimension, width)
        self.res_blocks = nn.ModuleList(_Block(width, dimension) for _ in range(BLOCKS))
        self.out = nn.Sequential(nn.LayerNorm(width, eps=1e-6), nn.SiLU(), _zero(nn.Linear(width, dimension)))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Predict x_0.

        Parameters
        ----------
        x_t : Tensor, shape (B, D)
        t : Tensor of int64, shape (B,)

        Returns
        -------
        Tensor, shape (B, D)
        """
        time = self.time_embed(sinusoidal_embedding(t, 2 * self.dimension))
        hidden = self.input_proj(x_t)
        for block in self.res_blocks:
            hidden = block(hidden, time)
        prediction: Tensor = self.out(hidden)
        return prediction


class _Block(nn.Module):
    """x + Linear(SiLU(LN(h))) with h = Linear(SiLU(LN(x))) + Linear(SiLU(time))."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, width))
        # The reference has a dropout of rate 0 in third place; the identity keeps its numbering.
        self.out_layers = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Identity(), _zero(nn.Linear(width, width)))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, c) and (B, D) -> (B, c)."""
        hidden: Tensor = x + self.out_layers(self.in_layers(x) + self.emb_layers(time))
        return hidden


def sinusoidal_embedding(t: Tensor, size: int) -> Tensor:
    """Embed timesteps: ``size / 2`` cosines, then as many sines, of periods 2 pi to 2 pi 10,000.

    Parameters
    ----------
    t : Tensor, shape (B,)
    size : int
        Even.

    Returns
    -------
    Tensor of float32, shape (B, size)
    """
    half = size // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t[:, None].float() * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=1)


def _zero(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _scheduler(clip: float | None = None) -> DDIMScheduler:
    # Importing diffusers takes seconds, and its defaults clip samples to [-1, 1]: late, and with every argument named.
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    scheduler: DDIMScheduler = DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="scaled_linear",
        clip_sample=clip is not None,
        clip_sample_range=clip or 1.0,
        set_alpha_to_one=True,
        steps_offset=0,
        prediction_type="sample",
        thresholding=False,
        timestep_spacing="leading",
        rescale_betas_zero_snr=False,
    )
    return scheduler
