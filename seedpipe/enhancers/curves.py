"""The training curve while it grows: in TensorBoard, or in DVCLive's files for the DVC extension of an editor.

``curve.csv`` in the model folder is written in any case, when training has ended; DVC plots that one.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from seedpipe.errors import MissingExtraError, install
from seedpipe.files import StrPath

if TYPE_CHECKING:
    from seedpipe.enhancers.base import TrainingCallback, TrainingPoint

Logger: TypeAlias = Literal["", "tensorboard", "dvclive"]
Write: TypeAlias = Callable[[int, dict[str, float]], None]
PACKAGES = {"tensorboard": ("TensorBoard", "torch.utils.tensorboard"), "dvclive": ("DVCLive", "dvclive.live")}


def log_folder(out: StrPath, logger: str) -> Path:
    """Where the curve of a model goes: beside its folder, which appears as a whole when training has ended."""
    return Path(out).with_name(f"{Path(out).name}.{logger}")


@contextlib.contextmanager
def followed(
    logger: Logger, out: StrPath, progress: TrainingCallback | None = None
) -> Iterator[TrainingCallback | None]:
    """Give a progress function for training that also writes each point where a curve can be watched.

    A training that goes on appends to the curve of the interrupted run; one that begins, begins a new curve.

    Parameters
    ----------
    logger : {'', 'tensorboard', 'dvclive'}
        Nothing else happens where it is empty.
    out : str or PathLike
        Model folder of the training: see :func:`log_folder`.
    progress : callable, optional
        Called with the same arguments.

    Raises
    ------
    MissingExtraError
        The package is not installed.
    """
    if not logger:
        yield progress
        return
    title, module = PACKAGES[logger]
    try:
        package = importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{title} is not installed", remedy=install(logger)) from error
    start = _tensorboard if logger == "tensorboard" else _dvclive
    with contextlib.ExitStack() as opened:
        writers: list[Write] = []

        def note(point: TrainingPoint, steps: int) -> None:
            if not writers:  # now, as the first point says whether an interrupted training goes on
                writers.append(start(package, log_folder(out, logger), point.step, opened))
            losses = {"loss": point.loss, "validation": point.validation}
            writers[0](point.step, {name: value for name, value in losses.items() if value is not None})
            if progress:
                progress(point, steps)

        yield note


def _tensorboard(package: Any, folder: Path, first: int, opened: contextlib.ExitStack) -> Write:
    # Points from here on that an earlier run has written are hidden.
    writer = opened.enter_context(package.SummaryWriter(folder, purge_step=first))

    def write(epoch: int, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    return write


def _dvclive(package: Any, folder: Path, first: int, opened: contextlib.ExitStack) -> Write:
    # It would make experiments and a dvc.yaml of its own, which are the pipeline's business.
    further = {"report": None, "save_dvc_exp": False, "dvcyaml": None, "monitor_system": False}
    live = opened.enter_context(package.Live(str(folder), resume=first > 1, **further))

    def write(epoch: int, losses: dict[str, float]) -> None:
        live.step = epoch
        for name, value in losses.items():
            live.log_metric(name, value)
        live.make_summary()

    return write
