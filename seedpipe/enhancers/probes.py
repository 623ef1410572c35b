"""The trainings on half of the sources that :mod:`seedpipe.enhancers.safeguard` judges."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from seedpipe.cache import Cache
from seedpipe.enhancers.data import Subset, whole_utterances
from seedpipe.enhancers.safeguard import LEAST_UTTERANCES, USES, Rates, Safeguard, Use, judge, pooled
from seedpipe.enhancers.seed import Enhancer
from seedpipe.enhancers.sources import halves, sources
from seedpipe.enhancers.training import Sample
from seedpipe.params import TrainParams

PARTS = (0.25, 0.5)  # of the sources, for the growth with speech
JUDGED_ROWS = 1_000  # of a half: all pairs of them are compared
JUDGED_DRAWS = 2  # of an utterance: more utterances tell more than more draws


class Probe(NamedTuple):
    """An enhancer that was trained on half of the sources, not yet calibrated, and the rows to calibrate it on."""

    enhancer: Enhancer
    calibration: Sample


class Fit(Protocol):
    """Trains on all utterances but those of a mask (U,); ``linear`` leaves the MLP untrained."""

    def __call__(self, apart: Tensor, *, linear: bool = False) -> Probe:
        """Train it."""
        ...


def measure(cache: Cache, params: TrainParams, fit: Fit) -> Safeguard | None:
    """Train on each half of the sources and judge on the other; None where the cache is too small for that."""
    subset, source = Subset.of(cache, params), sources(cache)
    folds = halves(source)
    if min(int(fold.sum()) for fold in folds) < LEAST_UTTERANCES:
        return None
    rates: dict[Use, list[Rates]] = defaultdict(list)
    growth: dict[float, list[tuple[int, list[Rates]]]] = defaultdict(list)
    for apart in folds:
        rows = _first_draws(subset.codes, apart)
        judged = subset.gather(cache, rows[whole_utterances(subset.codes[rows], JUDGED_ROWS)])
        probe = fit(apart)
        for use in _uses(params):
            rates[use] += _judged(probe, use, judged, source)
        if params.skip != "none":
            for part, left in _parts(~apart, source, params.seed):
                growth[part].append((int(left.sum()), _judged(fit(~left, linear=True), "linear", judged, source)))
    curve = [
        (sum(n for n, _ in found) // 2, pooled([one for _, part in found for one in part])) for found in growth.values()
    ]
    means = {use: pooled(found) for use, found in rates.items()}
    if curve:  # of all sources, the linear part of the probes themselves
        curve.append((len(source) // 2, means["linear"]))
    return Safeguard(
        sources=len(torch.unique(source)),
        utterances=len(source),
        rates=means,
        growth=tuple((count, found.noisy) for count, found in curve),
    )


def _first_draws(codes: Tensor, utterances: Tensor) -> Tensor:
    """Rows of the first draws of the utterances in a mask (U,)."""
    order = torch.argsort(codes, stable=True)
    numbers = codes[order]
    draw = torch.arange(len(codes)) - torch.searchsorted(numbers, numbers)
    return order[(draw < JUDGED_DRAWS) & utterances[numbers]].sort().values


def _uses(params: TrainParams) -> list[Use]:
    """What can be chosen from: whitening and a linear part only where the model has them."""
    missing = ({"whitened"} if params.output == "network" else set()) | ({"linear"} if params.skip == "none" else set())
    return [use for use in USES if use not in missing]


def _judged(probe: Probe, use: Use, judged: Sample, source: Tensor) -> list[Rates]:
    enhancer = probe.enhancer.used(use).calibrated(*probe.calibration)
    return judge(enhancer, judged.embeddings, judged.codes, source[judged.codes])


def _parts(training: Tensor, source: Tensor, seed: int) -> list[tuple[float, Tensor]]:
    """Masks (U,) of growing parts of the training utterances, a random order of sources after another."""
    numbers = torch.unique(source)
    place = torch.empty(int(numbers.max()) + 1, dtype=torch.int64)
    place[numbers] = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(seed))
    order = torch.argsort(place[source], stable=True)
    order = order[training[order]]
    return [
        (part, torch.zeros_like(training).index_fill(0, order[: round(part * len(order))], value=True))
        for part in PARTS
    ]
