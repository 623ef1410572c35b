"""Stage two: train SEED on a cache, with fresh diffusion noise at every step.

A training can be killed at any moment: the same command goes on from its last checkpoint, and on a CPU the model is the
same bit for bit. Work in progress lies in a hidden folder beside the model, named by what the training depends on.

Shapes: R rows, V variants (the first is clean), D embedding dimension.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

import seedpipe
from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.enhance import CURVE, MODEL_FILES, Enhancer, ModelConfig
from seedpipe.errors import ModelError
from seedpipe.files import fsync, locked, publish_folder, refuse_foreign
from seedpipe.params import TrainParams
from seedpipe.train import checkpoint
from seedpipe.train.data import load_rows
from seedpipe.train.steps import Epoch, Run, precision

__all__ = ["Epoch", "TrainingResult", "train"]

CHECKPOINT = "checkpoint.safetensors"
EER_ROWS = 400  # for the held-out EER, which compares all pairs
Progress = Callable[[Epoch, int], None]


@dataclass(frozen=True)
class TrainingResult:
    """What training gives besides the model.

    ``held_out_eer`` tells enhanced noisy embeddings of one held-out utterance from those of others, against its clean
    embedding: (before, after) enhancement. It needs no speaker labels. ``seconds`` are those of the last run, where a
    training was interrupted.
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
    """Train an enhancer on a training cache and write its model folder, or go on where an interrupted run stopped.

    Parameters
    ----------
    cache : Cache
    out : Path
        Model folder; an older one is replaced when training has ended well, also one of the same configuration: the
        result would be the same, but for changes of the code that no configuration knows of.
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
        The loss is not finite, a file cannot be written, or the folder at ``out`` is no model: it holds other files.
    BusyError
        Another process is training the same model.
    """
    started = time.monotonic()
    refuse_foreign(out, MODEL_FILES, "model folder", ModelError)  # now, not when training has ended
    cache.expect(kind="training")
    target = torch.device(device)
    params = params.model_copy(update={"precision": precision(params.precision, target)})
    try:
        with locked(out):
            work = out.with_name(f".{out.name}.{_configuration(cache, params, target)}")
            work.mkdir(exist_ok=True)
            rows = load_rows(cache, params, target)
            run = _trained(Run(rows, params, target), work / CHECKPOINT, progress)
            enhancer = _enhancer(run, cache)
            eer = _held_out_eer(enhancer, rows.held_out, rows.held_out_codes)
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


def _configuration(cache: Cache, params: TrainParams, device: torch.device) -> str:
    """Digest of what decides the weights; a checkpoint of anything else is of no use."""
    parts = {
        "params": params.model_dump(mode="json"),
        "cache": [shard.sha256 for shard in cache.info.shards],
        "device": device.type,
        "versions": [seedpipe.__version__, torch.__version__],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _trained(run: Run, path: Path, progress: Progress | None) -> Run:
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


def _enhancer(run: Run, cache: Cache) -> Enhancer:
    """The enhancer with the averaged weights; it notes how far it moves noisy embeddings, for the adaptive ensemble."""
    config = ModelConfig(
        network=cache.info.network,
        normalization=run.rows.normalization,
        train=run.params,
        cache=cache.info.fingerprint,
        seedpipe=seedpipe.__version__,
    )
    enhancer = Enhancer(run.average.to("cpu"), config)
    displacement = max(enhancer.displacement(run.rows.noisy), 1e-6)
    return Enhancer(enhancer.module, config.model_copy(update={"displacement": displacement}))


def _publish(enhancer: Enhancer, card: str, curve: Sequence[Epoch], work: Path, out: Path) -> None:
    """Put the whole model in its place, then drop the work; what is interrupted in between is done again."""
    folder = work / "model"
    shutil.rmtree(folder, ignore_errors=True)
    enhancer.write(folder, card)
    pd.DataFrame(curve).to_csv(folder / CURVE, index=False, lineterminator="\n")
    fsync(folder / CURVE)
    publish_folder(folder, out)
    shutil.rmtree(work)


def _held_out_eer(enhancer: Enhancer, embeddings_HVD: Tensor, codes: Tensor) -> tuple[float, float] | None:
    """EER of "same utterance or another" between noisy and clean held-out embeddings, before and after enhancement."""
    if len(torch.unique(codes)) < 2:
        return None
    chosen = torch.linspace(0, len(codes) - 1, min(EER_ROWS, len(codes))).long()
    rows, same = embeddings_HVD[chosen], codes[chosen, None] == codes[None, chosen]
    # Noise of its own: a model that samples noise must not need a caller here.
    after = enhancer(rows, torch.Generator().manual_seed(0))
    return _pair_eer(functional.normalize(rows, dim=-1), same), _pair_eer(after, same)


def _pair_eer(unit_RVD: Tensor, same: Tensor) -> float:
    scores = torch.stack([unit_RVD[:, v] @ unit_RVD[:, 0].T for v in range(1, unit_RVD.shape[1])])
    return metrics.eer(scores.flatten().numpy(), same.expand_as(scores).flatten().numpy().astype(np.int8))


def _card(enhancer: Enhancer, cache: Cache, result: TrainingResult) -> str:
    info, params = cache.info, enhancer.config.train
    name, hours = info.network.name, info.seconds / 3600
    eer, last = result.held_out_eer, result.curve[-1]
    speech = "synthetic speech" if info.synthetic else "speech"
    held_out = "none" if eer is None else f"{100 * eer[0]:.2f} % before, {100 * eer[1]:.2f} % after"
    validation = "none" if last.validation is None else f"{last.validation:.4g}"
    share = "adaptive ensemble weight" if params.adaptive_ensemble else "ensemble weight"
    return f"""# SEED enhancer for {name}

A diffusion MLP that regenerates the {info.network.dimension}-d embeddings of the frozen speaker network `{name}`
(fingerprint `{info.network.fingerprint[:16]}`), trained by seedpipe {seedpipe.__version__}.

## Data

{info.utterances:,} unlabelled utterances, {hours:.2f} h of {speech}; {result.rows:,} rows for training,
{result.held_out_rows:,} held out, each in {len(info.variants)} variants ({", ".join(info.variants)}). Cache fingerprint
`{info.fingerprint[:16]}`.

## Training

Preset `{params.preset}`, {params.epochs} epochs of batches of {params.batch_rows} rows, seed {params.seed}, loss
`{params.loss}`, prediction `{params.prediction}`, normalisation `{params.normalize}`, {params.precision}. `config.json`
has every parameter.

## Figures

- Last epoch: loss {last.loss:.4g}, on held-out utterances {validation}.
- Held-out utterances, noisy against clean, same utterance or another (no speaker labels): EER {held_out}.

## Use

`Enhancer.load(folder)(embeddings)`: t = {params.inference_step}, {params.inference_noise} noise, steps
{params.inference_steps}, {share} {params.ensemble:g}. Enrolment and test embeddings are both to be enhanced, and
compared by cosine.

## Limits

It fits the weights of this one network, and was judged on no speech but that in the report of its pipeline. It learnt
from the noise, music and rooms of its cache; others may help less, and clean speech may lose a little.
"""
