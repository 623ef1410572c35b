"""Stage two: train SEED on a cache, with fresh diffusion noise at every step.

All embeddings sit in one tensor; a step draws rows, timesteps and noise from one generator and runs no Python per row.

Shapes: R rows, B rows of a batch, V variants (the first is clean), D embedding dimension.

Source: SEED, section 3.3, eq. (9): the clean embedding x_0 is predicted from x_t and from every y_t^k.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import seedpipe
from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.diffusion import TIMESTEPS, Schedule, SeedMLP
from seedpipe.enhance import MODEL_FILES, Enhancer, ModelConfig, Normalization
from seedpipe.errors import CacheError, ModelError
from seedpipe.files import refuse_foreign
from seedpipe.params import TrainParams

__all__ = ["Epoch", "TrainingResult", "train"]

WARMUP_STEPS = 100
GRADIENT_NORM = 1.0
HELD_OUT_ROWS = 400  # for the held-out EER, which compares all pairs
CALIBRATION_ROWS = 20_000
Progress = Callable[["Epoch", int], None]


@dataclass(frozen=True)
class Epoch:
    """One point of the training curve: losses on training and held-out utterances."""

    epoch: int
    loss: float
    validation: float | None


@dataclass(frozen=True)
class TrainingResult:
    """What training gives besides the model.

    ``held_out_eer`` tells enhanced noisy embeddings of one held-out utterance from those of others, against its clean
    embedding: (before, after) enhancement. It needs no speaker labels.
    """

    rows: int
    held_out_rows: int
    seconds: float
    held_out_eer: tuple[float, float] | None
    curve: tuple[Epoch, ...]

    def as_dict(self) -> dict[str, object]:
        """The result as plain data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


def train(
    cache: Cache,
    out: Path,
    params: TrainParams,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[Enhancer, TrainingResult]:
    """Train an enhancer on a training cache and write its model folder.

    Parameters
    ----------
    cache : Cache
    out : Path
        Model folder; an older one is replaced when training has ended well.
    params : TrainParams
    device : str
    progress : callable, optional
        Called with each :class:`Epoch` and the number of epochs.

    Returns
    -------
    Enhancer, TrainingResult

    Raises
    ------
    CacheError
        The cache is damaged, made for evaluation, or too small.
    ModelError
        The loss is not finite, or the folder at ``out`` is no model: it holds other files.
    """
    started = time.monotonic()
    refuse_foreign(out, MODEL_FILES, "model folder", ModelError)  # now, not when training has ended
    cache.expect(kind="training")
    embeddings, codes = cache.to_torch(), _codes(cache)
    held_out = _held_out(codes, params.validation_share)
    normalization = Normalization.fit(params.normalize, embeddings[~held_out, 0])
    rows = normalization(embeddings)
    run = _Run(rows[~held_out].to(device), rows[held_out].to(device), params)
    curve = []
    for epoch in run.epochs():
        curve.append(epoch)
        if progress:
            progress(epoch, params.epochs)
    config = ModelConfig(
        network=cache.info.network,
        normalization=normalization,
        train=params,
        cache=cache.info.fingerprint,
        seedpipe=seedpipe.__version__,
    )
    enhancer = _calibrated(Enhancer(run.average.to("cpu"), config), embeddings[~held_out, 1:])
    eer = _held_out_eer(enhancer, embeddings[held_out], codes[held_out])
    kept = int((~held_out).sum())
    result = TrainingResult(kept, len(held_out) - kept, round(time.monotonic() - started, 2), eer, tuple(curve))
    enhancer.save(out, _card(enhancer, cache, result))
    return enhancer, result


class _Run:
    """The state of one training: weights, their moving average, optimiser and generator."""

    def __init__(self, rows: Tensor, held_out: Tensor, params: TrainParams) -> None:
        self.rows, self.held_out, self.params = rows, held_out, params
        self.device = rows.device
        self.batch_rows = min(params.batch_rows, len(rows))
        self.generator = torch.Generator(self.device).manual_seed(params.seed)
        self.network = _seeded_network(rows.shape[2], params.seed).to(self.device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.schedule = Schedule()
        self.steps_per_epoch = len(rows) // self.batch_rows
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True
        )
        total = params.epochs * self.steps_per_epoch
        self.annealing = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: _rate(step, total))
        self.step = 0

    def epochs(self) -> Iterator[Epoch]:
        """Train, one epoch at a time."""
        for number in range(1, self.params.epochs + 1):
            order = torch.randperm(len(self.rows), generator=self.generator, device=self.device)
            batches = order[: self.steps_per_epoch * self.batch_rows].view(-1, self.batch_rows)
            # Losses stay on the device until the epoch ends: no synchronisation per step.
            loss = torch.stack([self._step(batch) for batch in batches]).mean().item()
            validation = self._validate()
            if not math.isfinite(loss) or not math.isfinite(validation or 0.0):
                raise ModelError(
                    f"the loss is {loss} in epoch {number}, on held-out utterances {validation}",
                    expected="a finite loss",
                    remedy="lower train.learning_rate",
                )
            yield Epoch(number, loss, validation)

    def _step(self, batch: Tensor) -> Tensor:
        loss = self._loss(self.network, self.rows[batch], self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.annealing.step()
        self.step += 1
        # A young average follows quickly, or it would keep the zeros that the network starts from.
        decay = min(self.params.ema_decay, (1 + self.step) / (10 + self.step)) if self.params.ema_decay else 0.0
        average: list[Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(average, [weight.detach() for weight in self.network.parameters()], 1 - decay)
        return loss.detach()

    def _loss(self, network: nn.Module, batch_BVD: Tensor, generator: torch.Generator) -> Tensor:
        y_0 = batch_BVD.flatten(0, 1)
        x_0 = batch_BVD[:, :1].expand_as(batch_BVD).flatten(0, 1)
        t = torch.randint(0, TIMESTEPS, (len(y_0),), generator=generator, device=y_0.device)
        eps = torch.randn(y_0.shape, generator=generator, device=y_0.device)
        return _distance(network(self.schedule.add_noise(y_0, eps, t), t), x_0, self.params.loss)

    def _validate(self) -> float | None:
        """Loss of the averaged weights on the held-out rows, with the same noise each time."""
        if not len(self.held_out):
            return None
        with torch.inference_mode():
            generator = torch.Generator(self.device).manual_seed(0)
            return self._loss(self.average, self.held_out, generator).item()


def _distance(prediction: Tensor, x_0: Tensor, loss: str) -> Tensor:
    if loss == "l1":
        return functional.l1_loss(prediction, x_0)
    if loss == "mse":
        return functional.mse_loss(prediction, x_0)
    norm: Tensor = torch.linalg.vector_norm(prediction - x_0, dim=1).mean()  # eq. (9)
    return norm


def _rate(step: int, total: int) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to zero."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / total))


def _seeded_network(dimension: int, seed: int) -> SeedMLP:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach the generators of GPUs, too
        return SeedMLP(dimension)


def _codes(cache: Cache) -> Tensor:
    """Number of the utterance of each row, shape (R,), counted from 0 in the order of the cache."""
    return torch.from_numpy(cache.frame()["utterance"].factorize()[0])


def _held_out(codes: Tensor, share: float) -> Tensor:
    """Mark the rows of the held-out utterances, shape (R,): whole utterances, spread evenly over the cache."""
    utterances = int(codes.max()) + 1
    count = round(share * utterances)
    if utterances - count < 1:
        raise CacheError(
            f"{utterances} utterances are too few to hold some out", remedy="set train.validation_share: 0"
        )
    return torch.isin(codes, torch.linspace(0, utterances - 1, count).round().long())


def _calibrated(enhancer: Enhancer, noisy: Tensor) -> Enhancer:
    """Note how far noisy embeddings are moved, the yardstick of the adaptive ensemble."""
    rows = noisy[torch.linspace(0, len(noisy) - 1, min(CALIBRATION_ROWS, len(noisy))).long()]
    displacement = max(enhancer.displacement(rows), 1e-6)
    return Enhancer(enhancer.module, enhancer.config.model_copy(update={"displacement": displacement}))


def _held_out_eer(enhancer: Enhancer, embeddings_RVD: Tensor, codes: Tensor) -> tuple[float, float] | None:
    """EER of "same utterance or another" between noisy and clean held-out embeddings, before and after enhancement."""
    if len(torch.unique(codes)) < 2:
        return None
    chosen = torch.linspace(0, len(codes) - 1, min(HELD_OUT_ROWS, len(codes))).long()
    rows, same = embeddings_RVD[chosen], codes[chosen, None] == codes[None, chosen]
    # Noise of its own: a model that samples noise must not need a caller here.
    after = enhancer(rows, torch.Generator().manual_seed(0))
    return _pair_eer(functional.normalize(rows, dim=-1), same), _pair_eer(after, same)


def _pair_eer(unit_RVD: Tensor, same: Tensor) -> float:
    scores = torch.stack([unit_RVD[:, v] @ unit_RVD[:, 0].T for v in range(1, unit_RVD.shape[1])])
    return metrics.eer(scores.flatten().numpy(), same.expand_as(scores).flatten().numpy().astype(np.int8))


def _card(enhancer: Enhancer, cache: Cache, result: TrainingResult) -> str:
    info, params = cache.info, enhancer.config.train
    name, hours = info.network.name, info.seconds / 3600
    eer = result.held_out_eer
    speech = "synthetic speech" if info.synthetic else "speech"
    held_out = "none" if eer is None else f"{100 * eer[0]:.2f} % before, {100 * eer[1]:.2f} % after"
    return f"""# SEED enhancer for {name}

A diffusion MLP that regenerates the {info.network.dimension}-d embeddings of the frozen speaker network `{name}`
(fingerprint `{info.network.fingerprint[:16]}`), trained by seedpipe {seedpipe.__version__}.

- Training data: {info.utterances:,} unlabelled utterances, {hours:.2f} h of {speech}; {result.rows:,} rows for
  training, {result.held_out_rows:,} held out, each in {len(info.variants)} variants ({", ".join(info.variants)}).
- Training: {params.epochs} epochs, seed {params.seed}, loss `{params.loss}`.
- Held-out utterances, noisy against clean, same utterance or another (no speaker labels): EER {held_out}.
- In use: t = {params.inference_step}, {params.inference_noise} noise, ensemble weight {params.ensemble:g}.

Limits: it fits the weights of this one network, and was judged on no speech but that in the report of its pipeline.
Enrolment and test embeddings are both to be enhanced, and compared by cosine.
"""
