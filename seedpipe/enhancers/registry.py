"""Every kind of enhancer: how it is read from a model folder, and how it is trained on a cache into one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch

from seedpipe.cache import Cache
from seedpipe.console import ProgressBar, Shown
from seedpipe.enhancers.base import CONFIG, OUTPUT, EmbeddingEnhancer, TrainingCallback, no_model
from seedpipe.enhancers.curves import Logger, followed
from seedpipe.enhancers.fit import fit_network
from seedpipe.enhancers.fixed import FixedMap, fit_closed_form, fit_drl, fit_none
from seedpipe.enhancers.seed import Enhancer
from seedpipe.enhancers.training import Fitted, TrainingJob, TrainingResult, model_card
from seedpipe.errors import ModelError
from seedpipe.files import StrPath, link_target, locked, read_again, read_json
from seedpipe.params import EnhancerKind, Params, TrainParams


@dataclass(frozen=True)
class Recipe:
    """A kind of enhancer.

    Parameters
    ----------
    model : type
        What is loaded.
    fit : callable
        What trains one.
    resumes : bool
        Whether an interrupted training goes on.
    """

    model: type[EmbeddingEnhancer]
    fit: Callable[[TrainingJob], Fitted]
    resumes: bool = False


RECIPES: dict[EnhancerKind, Recipe] = {
    "seed": Recipe(Enhancer, fit_network, resumes=True),
    "regression": Recipe(Enhancer, fit_network, resumes=True),
    "centering": Recipe(FixedMap, fit_closed_form),
    "whitening": Recipe(FixedMap, fit_closed_form),
    "ridge": Recipe(FixedMap, fit_closed_form),
    "drl": Recipe(FixedMap, fit_drl),
    "none": Recipe(FixedMap, fit_none),
}


def load_enhancer(path: StrPath, device: str | torch.device = "cpu") -> EmbeddingEnhancer:
    """Load a model folder of any kind.

    Raises
    ------
    ModelError
        A file is missing, damaged, or does not fit the others, or the kind is unknown.

    Examples
    --------
    >>> load_enhancer("models/dvector/whitening").kind
    'whitening'
    """
    path = Path(path)
    return read_again(path / CONFIG, lambda: _load(path, device))


def _load(path: Path, device: str | torch.device) -> EmbeddingEnhancer:
    try:
        kind = cast("EnhancerKind", str(read_json(path / CONFIG).get("kind", "seed")))
    except (OSError, ValueError, AttributeError) as error:
        raise no_model(path, error) from error
    return RECIPES.get(kind, RECIPES["none"]).model.load(path, device)  # which refuses an unknown kind


def train_on_cache(
    kind: EnhancerKind,
    cache: Cache,
    out: StrPath,
    params: Params,
    *,
    device: str = "cpu",
    log: Logger = "",
    progress: TrainingCallback | Shown | None = "shown",
) -> tuple[EmbeddingEnhancer, TrainingResult]:
    """Train an enhancer of any kind on a training cache and write its model folder.

    An interrupted training of SEED or the regression goes on where it stopped.

    Parameters
    ----------
    kind : {'seed', 'regression', 'centering', 'whitening', 'ridge', 'drl', 'none'}
        The regression is the network, rows and steps of SEED without diffusion: y_0 enters as it is, at t = 0.
    cache : Cache
    out : str or PathLike
        Model folder; an older one is replaced when training has ended well, also one of the same configuration: the
        result would be the same, but for changes of the code that no configuration knows of.
    params : Params
        The sections ``train`` and ``enhancers`` matter. All kinds hold the same utterances out.
    device : str
    log : {'', 'tensorboard', 'dvclive'}
        Where the curve can be watched as it grows, too: in ``OUT.tensorboard`` or ``OUT.dvclive``.
    progress : callable or None
        Called with each :class:`TrainingPoint` and the steps in all; a bar, or lines where it cannot be drawn, by
        default. None for silence, also about the trainings that judge the result.

    Raises
    ------
    CacheError
        The cache is damaged, made for evaluation, too small, or without the speaker labels that the kind needs.
    ModelError
        The training failed, a file cannot be written, or the folder at ``out`` holds other files.
    BusyError
        Another process is training the same model.
    MissingExtraError
        The package that ``log`` asks for is not installed.
    """
    if kind not in RECIPES:
        raise ModelError(f"there is no enhancer {kind!r}", expected=f"one of {', '.join(RECIPES)}")
    started, recipe, out = time.monotonic(), RECIPES[kind], link_target(out)
    OUTPUT.check(out)  # now, not when training has ended
    cache.expect(kind="training")
    bar = ProgressBar(f"train {kind}", "steps", patient=True).training if isinstance(progress, str) else progress
    try:
        with followed(log, out, bar) as noted, locked(out):
            checks = (lambda: ProgressBar("check on held-out speech", "steps", patient=True).training) if bar else None
            fitted = recipe.fit(TrainingJob(kind, cache, out, params, torch.device(device), noted, checks))
            result = TrainingResult.of(fitted, time.monotonic() - started)
            _publish(fitted, model_card(fitted.enhancer, cache, result), out)
    except OSError as error:
        goes_on = "; the same command then goes on" if recipe.resumes else ""
        raise ModelError(
            f"cannot be written ({error})",
            remedy=f"make room on the disk or make the folder writable{goes_on}",
            file=out,
        ) from error
    return fitted.enhancer, result


def train(
    cache: Cache,
    out: StrPath,
    params: TrainParams,
    *,
    kind: Literal["seed", "regression"] = "seed",
    device: str = "cpu",
    progress: TrainingCallback | Shown | None = "shown",
) -> tuple[Enhancer, TrainingResult]:
    """Train SEED, or the regression beside it: see :func:`train_on_cache`, with the section ``train`` alone."""
    enhancer, result = train_on_cache(kind, cache, out, Params(train=params), device=device, progress=progress)
    return cast("Enhancer", enhancer), result


def _publish(fitted: Fitted, card: str, out: Path) -> None:
    """Put the whole model in its place, then drop the work; what is interrupted in between is done again."""
    fitted.enhancer.save(out, card, fitted.curve)
    fitted.enhancer.from_folder(out)
    if fitted.work:
        shutil.rmtree(fitted.work)
