"""Training of every kind of enhancer on a cache, into its model folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seedpipe._version import __version__
from seedpipe.cache import Cache
from seedpipe.enhancers.base import MODEL_FILES, EmbeddingEnhancer, Epoch, EpochCallback
from seedpipe.enhancers.drl import train_drl
from seedpipe.enhancers.fixed import Rival, RivalConfig, RivalKind
from seedpipe.enhancers.labels import environments, speakers
from seedpipe.enhancers.trainer import TrainingResult, train
from seedpipe.enhancers.trainer.card import model_card
from seedpipe.enhancers.trainer.data import HeldOut, hold_out
from seedpipe.enhancers.trainer.result import held_out_eer
from seedpipe.enhancers.whitening_fit import fit_whitening
from seedpipe.errors import ModelError
from seedpipe.files import locked, refuse_foreign
from seedpipe.params import DRLParams, EnhancerKind, EnhancersParams, Params, WhiteningParams

__all__ = ["train_enhancer"]

TITLES = {"whitening": "Whitening", "drl": "DRL encoder", "none": "Unchanged embeddings"}
WHAT = {
    "whitening": "A linear map in closed form of",
    "drl": "A disentangling encoder, trained against an environment adversary, of",
    "none": "No change but unit length of",
}


def train_enhancer(
    kind: EnhancerKind,
    cache: Cache,
    out: Path,
    params: Params,
    *,
    device: str = "cpu",
    progress: EpochCallback | None = None,
) -> tuple[EmbeddingEnhancer, TrainingResult]:
    """Train an enhancer of any kind on a training cache and write its model folder.

    Parameters
    ----------
    kind : {'seed', 'regression', 'whitening', 'drl', 'none'}
    cache : Cache
    out : Path
        Model folder; an older one is replaced when training has ended well.
    params : Params
        The sections ``train`` and ``enhancers`` matter. All kinds hold the same utterances out.
    device : str
    progress : callable, optional
        Called with each :class:`Epoch` and the number of epochs.

    Raises
    ------
    CacheError
        The cache is damaged, made for evaluation, too small, or without the speaker labels that the kind needs.
    ModelError
        The training failed, a file cannot be written, or the folder at ``out`` holds other files.
    BusyError
        Another process is training the same model.
    """
    if kind == "seed" or kind == "regression":  # noqa: PLR1714 - types are narrowed by comparisons
        return train(cache, out, params.train, kind=kind, device=device, progress=progress)
    if kind not in get_args(EnhancerKind):
        raise ModelError(f"there is no enhancer {kind!r}", expected=f"one of {', '.join(get_args(EnhancerKind))}")
    started = time.monotonic()
    refuse_foreign(out, MODEL_FILES, "model folder", ModelError)
    cache.expect(kind="training")
    try:
        with locked(out):
            apart = hold_out(cache, params.train.validation_share)
            rival, curve = _fitted(kind, cache, apart, params.enhancers, device, progress)
            eer = held_out_eer(rival, apart.embeddings, apart.codes)
            held_out, seconds = int(apart.mask.sum()), round(time.monotonic() - started, 2)
            result = TrainingResult(len(cache) - held_out, held_out, seconds, eer, curve)
            rival.save(out, _card(rival, cache, result), curve)
    except OSError as error:
        raise ModelError(
            f"cannot be written ({error})", remedy="make room on the disk or make the folder writable", file=out
        ) from error
    return rival, result


def _fitted(
    kind: RivalKind, cache: Cache, apart: HeldOut, params: EnhancersParams, device: str, progress: EpochCallback | None
) -> tuple[Rival, tuple[Epoch, ...]]:
    """The rival, on the CPU, and its curve."""
    training = ~apart.mask.numpy()
    module: nn.Module = nn.Identity()
    settings: WhiteningParams | DRLParams | None = None
    curve: tuple[Epoch, ...] = ()
    if kind == "whitening":
        settings = params.whitening
        known = speakers(cache, cache.frame(), params.speaker_pattern) if settings.covariance == "lda" else None
        module = fit_whitening(cache, training, settings, known)
    elif kind == "drl":
        settings = params.drl
        module, curve = _disentangled(cache, training, params, device, progress)
    config = RivalConfig(
        kind=kind,
        network=cache.info.network,
        settings=settings,
        cache=cache.info.fingerprint,
        seedpipe=__version__,
    )
    return Rival(module.to("cpu"), config), curve


def _disentangled(
    cache: Cache, training: NDArray[np.bool_], params: EnhancersParams, device: str, progress: EpochCallback | None
) -> tuple[nn.Module, tuple[Epoch, ...]]:
    frame = cache.frame()
    known = speakers(cache, frame, params.speaker_pattern)[training]
    _, known = np.unique(known, return_inverse=True)  # without gaps where all utterances of a speaker are held out
    where = environments(frame, cache.info.variants)[training]
    rows = cache.to_torch()[torch.from_numpy(training)].to(device)
    return train_drl(rows, known, where, params.drl, progress)


def _card(rival: Rival, cache: Cache, result: TrainingResult) -> str:
    settings = rival.config.settings
    given = {} if settings is None else settings.model_dump()
    needs_labels = rival.kind == "drl" or given.get("covariance") == "lda"
    return model_card(
        cache,
        result,
        title=TITLES[rival.kind],
        what=WHAT[rival.kind],
        training=", ".join(f"{name} {value}" for name, value in given.items()) or "None.",
        use="`seedpipe.enhancers.load_enhancer(folder)(embeddings)`.",
        labels="labelled" if needs_labels else "unlabelled",
    )
