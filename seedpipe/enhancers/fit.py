"""Train SEED or the regression as a whole: the skip, the network, and what of it is safe to use.

A training can be killed at any moment: the same command goes on from its last checkpoint, and on a CPU the model is the
same bit for bit. Work in progress lies in a hidden folder beside the model, named by what the training depends on.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from seedpipe import __version__
from seedpipe.enhancers.base import TrainingCallback, TrainingPoint
from seedpipe.enhancers.checkpoint import Checkpoint
from seedpipe.enhancers.convergence import training_warnings
from seedpipe.enhancers.data import EmbeddingLoader, embedding_loader, is_resident
from seedpipe.enhancers.diffusion import SeedMLP
from seedpipe.enhancers.probes import Probe, measure
from seedpipe.enhancers.safeguard import NOT_MEASURED, Safeguard
from seedpipe.enhancers.scale import scale_warnings
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.enhancers.skip import fit_skip
from seedpipe.enhancers.sources import speakers_or_files
from seedpipe.enhancers.trainer import Trainer, precision
from seedpipe.enhancers.training import Fitted, TrainingJob
from seedpipe.errors import ModelError
from seedpipe.params import TrainParams

CHECKPOINT = "checkpoint.safetensors"


def fit_network(job: TrainingJob) -> Fitted:
    """Train SEED or the regression, or go on where an interrupted training stopped."""
    params = job.params.train
    params = params.model_copy(update={"precision": precision(params.precision, job.device)})
    if job.kind == "regression":
        params = params.without_diffusion()
    work = job.out.with_name(f".{job.out.name}.{_configuration(job, params)}")
    work.mkdir(exist_ok=True)
    loader = embedding_loader(job.cache, params, job.device)
    trainer = _trainer(job, loader, params)
    _train(trainer, work / CHECKPOINT, job.progress)
    enhancer = _enhancer(job, loader, params, trainer.average)
    raw = loader.calibration.embeddings[:, 0]
    warnings = scale_warnings(raw, loader.normalization, params) if job.kind == "seed" else ()
    warnings += training_warnings(trainer.curve, job.cache.info.utterances)
    if params.safeguard:
        safeguard = _measured(job, params, trainer, work)
        warnings += (NOT_MEASURED,) if safeguard is None else safeguard.warnings()
        enhancer = enhancer.used("enhanced" if safeguard is None else safeguard.use, safeguard)
    enhancer = enhancer.calibrated(*loader.calibration)
    measured = enhancer.config.safeguard
    return Fitted(
        enhancer,
        loader.count,
        loader.held_out_count,
        loader.held_out,
        trainer.curve,
        trainer.epoch_steps,
        warnings,
        remarks=measured.sentences() if measured else (),
        growth=measured.growth if measured else (),
        work=work,
    )


def _trainer(job: TrainingJob, loader: EmbeddingLoader, params: TrainParams) -> Trainer:
    return Trainer(loader, params, job.device, _skip(job, loader, params), diffusion=job.kind == "seed")


def _skip(job: TrainingJob, loader: EmbeddingLoader, params: TrainParams) -> Tensor | None:
    if params.skip == "none":
        return None
    rows, codes = loader.calibration
    return fit_skip(loader.normalization(rows), codes, speakers_or_files(job.cache)[codes], params)


def _enhancer(job: TrainingJob, loader: EmbeddingLoader, params: TrainParams, network: SeedMLP) -> Enhancer:
    """What was trained, not yet calibrated."""
    config = ModelConfig(
        kind=cast("Literal['seed', 'regression']", job.kind),
        network=job.cache.info.network,
        normalization=loader.normalization,
        train=params,
        cache=job.cache.info.fingerprint,
        seedpipe=__version__,
    )
    return Enhancer(network.to("cpu"), config)


def _measured(job: TrainingJob, params: TrainParams, whole: Trainer, work: Path) -> Safeguard | None:
    """What trainings that saw half of the sources say of the other half; None where there is too little speech.

    They go through their rows as often as the whole training did, so both together take the time of one. As the
    training itself, they go on from their checkpoints in the folder ``work``.
    """
    numbers, checks = itertools.count(), job.checks() if job.checks else None
    told = checks and partial(_tell_of_half, checks, whole.steps)

    def fit(apart: Tensor, *, linear: bool = False) -> Probe:
        loader = embedding_loader(job.cache, params, job.device, apart)
        if linear:
            network = SeedMLP(job.cache.info.network.dimension, _skip(job, loader, params))
        else:
            half = params.model_copy(update={"steps": max(1, round(whole.steps * loader.count / whole.loader.count))})
            trainer, number = _trainer(job, loader, half), next(numbers)
            _train(trainer, work / f"check-{number}.safetensors", told and partial(told, number))
            network = trainer.average
        return Probe(_enhancer(job, loader, params, network), loader.calibration)

    return measure(job.cache, params, fit)


def _tell_of_half(checks: TrainingCallback, total: int, number: int, point: TrainingPoint, steps: int) -> None:
    """Tell of one of the two trainings on halves as of the first or second half of so many steps."""
    checks(replace(point, step=round((number + point.step / steps) / 2 * total)), total)


def _configuration(job: TrainingJob, params: TrainParams) -> str:
    """Digest of what decides the weights; a checkpoint of anything else is of no use."""
    parts: dict[str, object] = {
        "kind": job.kind,
        "params": params.model_dump(mode="json"),
        "cache": [shard.sha256 for shard in job.cache.info.shards],
        "device": job.device.type,
        "versions": [__version__, torch.__version__],
    }
    if job.device.type == "cuda":  # what is free there decides it, and with it the order of the rows
        parts["resident"] = is_resident(job.cache, params, job.device)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _train(trainer: Trainer, path: Path, progress: TrainingCallback | None) -> None:
    """Train to the end, with a checkpoint at every point of the curve."""
    if checkpoint := Checkpoint.read(path):
        trainer.restore(checkpoint)
    try:
        for point in trainer.points():
            trainer.checkpoint().write(path)
            if progress:
                progress(point, trainer.steps)
    except ModelError as error:
        kept = f"; the checkpoint of step {trainer.curve[-1].step} is kept in {path.parent}" if path.exists() else ""
        raise ModelError(error.found, expected=error.expected, remedy=error.remedy + kept, file=error.file) from error
