"""Stage two: train SEED on a cache, with fresh diffusion noise at every step, or a regression without.

A training can be killed at any moment: the same command goes on from its last checkpoint, and on a CPU the model is the
same bit for bit. Work in progress lies in a hidden folder beside the model, named by what the training depends on.

Shapes: R rows, V variants (the first is clean), D embedding dimension.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from seedpipe._version import __version__
from seedpipe.cache import Cache
from seedpipe.enhancers.base import MODEL_FILES, EpochCallback
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.enhancers.trainer import checkpoint
from seedpipe.enhancers.trainer.card import model_card
from seedpipe.enhancers.trainer.data import load_rows
from seedpipe.enhancers.trainer.result import Epoch, TrainingResult, held_out_eer
from seedpipe.enhancers.trainer.steps import Run, precision
from seedpipe.errors import ModelError
from seedpipe.files import locked, publish_folder, refuse_foreign
from seedpipe.params import TrainParams

__all__ = ["Epoch", "TrainingResult", "train"]

CHECKPOINT = "checkpoint.safetensors"
Kind = Literal["seed", "regression"]


def train(
    cache: Cache,
    out: Path,
    params: TrainParams,
    *,
    kind: Kind = "seed",
    device: str = "cpu",
    progress: EpochCallback | None = None,
) -> tuple[Enhancer, TrainingResult]:
    """Train an enhancer on a training cache and write its model folder, or go on where an interrupted run stopped.

    Parameters
    ----------
    cache : Cache
    out : Path
        Model folder; an older one is replaced when training has ended well, also one of the same configuration: the
        result would be the same, but for changes of the code that no configuration knows of.
    params : TrainParams
    kind : {'seed', 'regression'}
        With diffusion, or the same network, rows and steps without: y_0 enters as it is, at t = 0.
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
        The loss is not finite, a file cannot be written, or the folder at ``out`` is no model: it holds other files.
    BusyError
        Another process is training the same model.
    """
    started = time.monotonic()
    refuse_foreign(out, MODEL_FILES, "model folder", ModelError)  # now, not when training has ended
    cache.expect(kind="training")
    target = torch.device(device)
    params = params.model_copy(update={"precision": precision(params.precision, target)})
    if kind == "regression":
        params = params.without_diffusion()
    try:
        with locked(out):
            work = out.with_name(f".{out.name}.{_configuration(cache, kind, params, target)}")
            work.mkdir(exist_ok=True)
            rows = load_rows(cache, params, target)
            run = _trained(Run(rows, params, target, diffusion=kind == "seed"), work / CHECKPOINT, progress)
            enhancer = _enhancer(run, cache, kind)
            eer = held_out_eer(enhancer, rows.held_out, rows.held_out_codes)
            seconds = round(time.monotonic() - started, 2)
            result = TrainingResult(rows.count, rows.held_out_count, seconds, eer, run.curve)
            _publish(enhancer, _card(enhancer, cache, result), result.curve, work, out)
    except OSError as error:
        raise ModelError(
            f"cannot be written ({error})",
            remedy="make room on the disk or make the folder writable; the same command then goes on",
            file=out,
        ) from error
    return enhancer, result


def _configuration(cache: Cache, kind: Kind, params: TrainParams, device: torch.device) -> str:
    """Digest of what decides the weights; a checkpoint of anything else is of no use."""
    parts = {
        "kind": kind,
        "params": params.model_dump(mode="json"),
        "cache": [shard.sha256 for shard in cache.info.shards],
        "device": device.type,
        "versions": [__version__, torch.__version__],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _trained(run: Run, path: Path, progress: EpochCallback | None) -> Run:
    """Train to the end, with a checkpoint after every epoch."""
    if state := checkpoint.read(path):
        run.restore(state)
    try:
        for epoch in run.epochs():
            checkpoint.write(path, run.state())
            if progress:
                progress(epoch, run.params.epochs)
    except ModelError as error:
        kept = f"; the checkpoint of epoch {len(run.curve)} is kept in {path.parent}" if path.exists() else ""
        raise ModelError(error.found, expected=error.expected, remedy=error.remedy + kept, file=error.file) from error
    return run


def _enhancer(run: Run, cache: Cache, kind: Kind) -> Enhancer:
    """The enhancer with the averaged weights."""
    config = ModelConfig(
        kind=kind,
        network=cache.info.network,
        normalization=run.rows.normalization,
        train=run.params,
        cache=cache.info.fingerprint,
        seedpipe=__version__,
    )
    enhancer = Enhancer(run.average.to("cpu"), config)
    return enhancer.calibrated(run.rows.calibration, run.rows.calibration_codes)


def _publish(enhancer: Enhancer, card: str, curve: Sequence[Epoch], work: Path, out: Path) -> None:
    """Put the whole model in its place, then drop the work; what is interrupted in between is done again."""
    folder = work / "model"
    shutil.rmtree(folder, ignore_errors=True)
    enhancer.write(folder, card, curve)
    publish_folder(folder, out)
    shutil.rmtree(work)


def _card(enhancer: Enhancer, cache: Cache, result: TrainingResult) -> str:
    params = enhancer.config.train
    entry = f"t = {params.inference_step}, {params.inference_noise} noise, steps {params.inference_steps}"
    share = "adaptive ensemble weight" if params.adaptive_ensemble else "ensemble weight"
    return model_card(
        cache,
        result,
        title="SEED enhancer" if enhancer.kind == "seed" else "Regression",
        what="A diffusion MLP that regenerates" if enhancer.kind == "seed" else "An MLP without diffusion that maps",
        training=f"""Preset `{params.preset}`, {params.epochs} epochs of batches of {params.batch_rows} rows, seed
{params.seed}, loss `{params.loss}`, prediction `{params.prediction}`, normalisation `{params.normalize}`,
{params.precision}. `config.json` has every parameter.""",
        use=f"`Enhancer.load(folder)(embeddings)`: {entry}, {share} {params.ensemble:g}, output `{params.output}`.",
    )
