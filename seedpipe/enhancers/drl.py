"""A disentangling auto-encoder on frozen embeddings, with an adversary that looks for the environment.

====================  ==============================================================================================
x                     embedding of unit length times sqrt(D)
s, e                  speaker code and environment code, D values each, of one linear layer behind a batch norm
a, q, p, n            the four embeddings that a speaker brings to a batch: an anchor, another row of the speaker
                      (query), an embedding of any speaker in the environment of the anchor (positive), and the crop
                      of the positive in another environment (negative)
====================  ==============================================================================================

The loss is that of the speaker (softmax and angular prototypical) + the L1 error of the reconstruction, half of the
time with the speaker codes of anchor and query exchanged + a triplet loss that has the environment code of a nearer to
p than to n - the same loss on the speaker code, by an adversary that is trained for some steps in between, on codes
that it cannot change + the mean absolute correlation of the two codes. Positive and negative are one crop, so nothing
but the environment makes one of them nearer to the anchor.

Source: Nam et al., "Disentangled representation learning for environment-agnostic speaker recognition", Interspeech
2024. There the auto-encoder is trained together with the network; here the network is frozen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seedpipe.enhancers.base import TrainingPoint
from seedpipe.enhancers.labels import Codes
from seedpipe.errors import ModelError
from seedpipe.params import DRLParams

ANCHOR, QUERY, POSITIVE, NEGATIVE = range(4)


class SpeakerEncoder(nn.Module):
    """The encoder: embeddings (B, D) to speaker codes (B, D)."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.BatchNorm1d(dimension), nn.Linear(dimension, 2 * dimension))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Speaker codes of a block."""
        return self.codes(embeddings)[0]

    def codes(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Speaker codes and environment codes, both (B, D)."""
        speaker, environment = self.encoder(_scaled(embeddings)).chunk(2, dim=1)
        return speaker, environment


class _Groups:
    """Items by group, to draw others of the same group."""

    def __init__(self, codes: Tensor) -> None:
        self.codes = codes
        self.order = torch.argsort(codes, stable=True)
        self.sizes = torch.bincount(codes)
        self.starts = self.sizes.cumsum(0) - self.sizes
        self.ranks = torch.empty_like(codes)
        self.ranks[self.order] = torch.arange(len(codes), device=codes.device) - self.starts[codes[self.order]]

    def members(self, groups: Tensor, generator: torch.Generator) -> Tensor:
        """One item of each of the groups."""
        return self.order[self.starts[groups] + _below(self.sizes[groups], generator)]

    def others(self, items: Tensor, generator: torch.Generator) -> Tensor:
        """Another item of the group of each item; itself where it is the only one."""
        groups = self.codes[items]
        step = 1 + _below((self.sizes[groups] - 1).clamp(min=1), generator)
        return self.order[self.starts[groups] + (self.ranks[items] + step) % self.sizes[groups]]


class _Batch(NamedTuple):
    """Embeddings (4, P, D) by role, their speakers (4, P), and whether a positive was found (P,)."""

    embeddings: Tensor
    speakers: Tensor
    paired: Tensor


class _Draws:
    """Batches of P speakers from rows (R, V, D)."""

    def __init__(self, rows: Tensor, speakers: Codes, environments: Codes) -> None:
        self.flat, self.variants = rows.flatten(0, 1), rows.shape[1]
        self.by_speaker = _Groups(torch.from_numpy(speakers).to(rows.device))
        self.by_environment = _Groups(torch.from_numpy(environments).flatten().to(rows.device))
        if not (self.by_environment.sizes > 1).any():
            raise ModelError(
                "no environment occurs twice in the cache",
                expected="variants that share noise, music or rooms",
                remedy="drl cannot be trained on it: choose another enhancer",
            )

    def batch(self, count: int, generator: torch.Generator) -> _Batch:
        """Draw the four embeddings of each of ``count`` speakers."""
        device = self.flat.device
        speakers = torch.randperm(len(self.by_speaker.sizes), generator=generator, device=device)[:count]
        every = torch.full_like(speakers, self.variants)
        row = self.by_speaker.members(speakers, generator)
        anchor = row * self.variants + _below(every, generator)
        query = self.by_speaker.others(row, generator) * self.variants + _below(every, generator)
        positive = self.by_environment.others(anchor, generator)
        another = (positive + 1 + _below(every - 1, generator)) % self.variants
        negative = positive // self.variants * self.variants + another
        items = torch.stack((anchor, query, positive, negative))
        return _Batch(self.flat[items], self.by_speaker.codes[items // self.variants], positive != anchor)


class _Discriminator(nn.Sequential):
    """What the triplet losses compare codes by: (B, D) to (B, D)."""

    def __init__(self, dimension: int) -> None:
        layers = [[nn.BatchNorm1d(dimension), nn.ELU(), nn.Linear(dimension, dimension)] for _ in range(2)]
        super().__init__(*layers[0], *layers[1])


class _SpeakerLoss(nn.Module):
    """Softmax over the training speakers, and angular prototypical: a query is nearest to the anchor of its speaker."""

    def __init__(self, dimension: int, speakers: int) -> None:
        super().__init__()
        self.classes = nn.Linear(dimension, speakers)
        self.scale, self.offset = nn.Parameter(torch.tensor(10.0)), nn.Parameter(torch.tensor(-5.0))

    def forward(self, codes: Tensor, speakers: Tensor) -> Tensor:
        """Loss of codes (4, P, D) of speakers (4, P)."""
        softmax = functional.cross_entropy(self.classes(codes.flatten(0, 1)), speakers.flatten())
        cosines = functional.normalize(codes[QUERY], dim=1) @ functional.normalize(codes[ANCHOR], dim=1).T
        wanted = torch.arange(len(cosines), device=cosines.device)
        prototypical = functional.cross_entropy(cosines * self.scale.clamp(min=1e-6) + self.offset, wanted)
        loss: Tensor = softmax + prototypical
        return loss


class _Training:
    """Auto-encoder, losses and adversary, and what a step does to them."""

    def __init__(self, draws: _Draws, settings: DRLParams, steps: int) -> None:
        dimension, device = draws.flat.shape[1], draws.flat.device
        self.draws, self.settings = draws, settings
        self.generator = torch.Generator(device).manual_seed(settings.seed)
        self.encoder = SpeakerEncoder(dimension)
        self.decoder = nn.Sequential(nn.BatchNorm1d(2 * dimension), nn.Linear(2 * dimension, dimension))
        self.speaker_loss = _SpeakerLoss(dimension, len(draws.by_speaker.sizes))
        self.discriminator, self.adversary = _Discriminator(dimension), _Discriminator(dimension)
        trained = nn.ModuleList((self.encoder, self.decoder, self.speaker_loss, self.discriminator)).to(device)
        self.optimizers = [
            torch.optim.Adam(module.parameters(), lr=settings.learning_rate)
            for module in (trained, self.adversary.to(device))
        ]
        # The adversary keeps its rate: it must find what is left when the encoder has almost settled.
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizers[0], steps)

    def step(self) -> Tensor:
        """Train the adversary for some steps and the auto-encoder for one; gives the loss of the latter."""
        batch = self.draws.batch(self.settings.batch_speakers, self.generator)
        codes = [code.view_as(batch.embeddings) for code in self.encoder.codes(batch.embeddings.flatten(0, 1))]
        autoencoder, adversary = self.optimizers
        for _ in range(self.settings.discriminator_steps):
            _descend(adversary, self._triplet(self.adversary, codes[0].detach(), batch.paired))
        loss = self._loss(batch, codes[0], codes[1])
        _descend(autoencoder, loss)
        self.schedule.step()
        return loss.detach()

    def _loss(self, batch: _Batch, speaker: Tensor, environment: Tensor) -> Tensor:
        weights = self.settings
        loss: Tensor = (
            self.speaker_loss(speaker, batch.speakers)
            + weights.reconstruction * self._reconstruction(batch.embeddings, speaker, environment)
            + weights.environment * self._triplet(self.discriminator, environment, batch.paired)
            - weights.adversary * self._triplet(self.adversary, speaker, batch.paired)
            + weights.correlation * _correlation(speaker.flatten(0, 1), environment.flatten(0, 1))
        )
        return loss

    def _reconstruction(self, embeddings: Tensor, speaker: Tensor, environment: Tensor) -> Tensor:
        """L1 error, with the speaker codes of anchor and query exchanged for half of the speakers."""
        exchanged = speaker[[QUERY, ANCHOR, POSITIVE, NEGATIVE]]
        chosen = torch.rand(speaker.shape[1], generator=self.generator, device=speaker.device) < 0.5
        used = torch.where(chosen[None, :, None], exchanged, speaker)
        codes = torch.cat((functional.normalize(used, dim=2), functional.normalize(environment, dim=2)), dim=2)
        return functional.l1_loss(self.decoder(codes.flatten(0, 1)), _scaled(embeddings.flatten(0, 1)))

    def _triplet(self, discriminator: nn.Module, codes: Tensor, paired: Tensor) -> Tensor:
        """Triplet loss of the anchors that have a positive."""
        seen = discriminator(codes.flatten(0, 1)).view_as(codes)[:, paired]
        if not seen.shape[1]:
            return codes.sum() * 0
        margin = self.settings.margin
        loss: Tensor = functional.triplet_margin_loss(seen[ANCHOR], seen[POSITIVE], seen[NEGATIVE], margin=margin)
        return loss


def train_drl(
    rows: Tensor,
    speakers: Codes,
    environments: Codes,
    settings: DRLParams,
    progress: Callable[[TrainingPoint, int], None] | None = None,
) -> tuple[SpeakerEncoder, tuple[TrainingPoint, ...]]:
    """Train the auto-encoder; gives its encoder and the curve.

    Parameters
    ----------
    rows : Tensor, shape (R, V, D)
    speakers : ndarray of int64, shape (R,)
        Number of the speaker of each row, from 0 without gaps.
    environments : ndarray of int64, shape (R, V)
        Number of the environment of each embedding, from 0.
    settings : DRLParams
    progress : callable, optional
        Called after each epoch with a :class:`TrainingPoint` and the steps in all.

    Raises
    ------
    ModelError
        No environment occurs twice, or the loss is not finite.
    """
    draws = _Draws(rows, speakers, environments)
    steps = max(1, len(rows) // settings.batch_speakers)
    total = settings.epochs * steps
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        training = _Training(draws, settings, total)
    curve = []
    for number in range(1, settings.epochs + 1):
        loss = torch.stack([training.step() for _ in range(steps)]).mean().item()
        if not np.isfinite(loss):
            raise ModelError(
                f"the loss is {loss} in epoch {number}",
                expected="a finite loss",
                remedy="lower enhancers.drl.learning_rate",
            )
        curve.append(TrainingPoint(number * steps, loss, None))
        if progress:
            progress(curve[-1], total)
    return training.encoder, tuple(curve)


def _scaled(embeddings: Tensor) -> Tensor:
    """Embeddings (B, D) at length sqrt(D)."""
    return functional.normalize(embeddings, dim=1) * math.sqrt(embeddings.shape[1])


def _below(limits: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers from 0 up to each limit, drawn uniformly."""
    drawn = torch.rand(limits.shape, generator=generator, device=limits.device, dtype=torch.float64)
    return (drawn * limits).long()


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute Pearson correlation of every value of one code with every value of the other."""
    one, other = (functional.normalize(code - code.mean(dim=0), dim=0) for code in (one, other))
    mean: Tensor = (one.T @ other).abs().mean()
    return mean


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
