"""The training curve while it grows: in TensorBoard, or in DVCLive's files for the DVC extension of an editor.

``curve.csv`` in the model folder is written in any case, when training has ended; DVC plots that one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seedpipe.errors import MissingExtraError

if TYPE_CHECKING:
    from seedpipe.enhancers.base import Epoch, EpochCallback

Logger = Literal["", "tensorboard", "dvclive"]
Write = Callable[[int, Mapping[str, float]], None]
Start = Callable[[Path, int, contextlib.ExitStack], Write]


def log_folder(out: Path, logger: str) -> Path:
    """Where the curve of a model goes: beside its folder, which appears as a whole when training has ended."""
    return out.with_name(f"{out.name}.{logger}")


@contextlib.contextmanager
def followed(logger: Logger, out: Path, progress: EpochCallback | None = None) -> Iterator[EpochCallback | None]:
    """Give a progress function for training that also writes each epoch where a curve can be watched.

    A training that goes on appends to the curve of the interrupted run; one that begins, begins a new curve.

    Parameters
    ----------
    logger : {'', 'tensorboard', 'dvclive'}
        Nothing else happens where it is empty.
    out : Path
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
    with contextlib.ExitStack() as opened:
        start = _tensorboard() if logger == "tensorboard" else _dvclive()
        writers: list[Write] = []

        def note(epoch: Epoch, total: int) -> None:
            if not writers:  # now, as the first epoch says whether an interrupted training goes on
                writers.append(start(log_folder(out, logger), epoch.epoch, opened))
            losses = {"loss": epoch.loss, "validation": epoch.validation}
            writers[0](epoch.epoch, {name: value for name, value in losses.items() if value is not None})
            if progress:
                progress(epoch, total)

        yield note


def _tensorboard() -> Start:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("TensorBoard is not installed", remedy='pip install "seedpipe[tensorboard]"') from error

    def start(folder: Path, first: int, opened: contextlib.ExitStack) -> Write:
        # Points from here on that an earlier run has written are hidden.
        writer = opened.enter_context(SummaryWriter(folder, purge_step=first))

        def write(epoch: int, losses: Mapping[str, float]) -> None:
            for name, value in losses.items():
                writer.add_scalar(name, value, epoch)
            writer.flush()

        return write

    return start


def _dvclive() -> Start:
    try:
        from dvclive.live import Live
    except ImportError as error:
        raise MissingExtraError("DVCLive is not installed", remedy='pip install "seedpipe[dvclive]"') from error

    def start(folder: Path, first: int, opened: contextlib.ExitStack) -> Write:
        # It would make experiments and a dvc.yaml of its own, which are the pipeline's business.
        live = opened.enter_context(
            Live(str(folder), resume=first > 1, report=None, save_dvc_exp=False, dvcyaml=None, monitor_system=False)
        )

        def write(epoch: int, losses: Mapping[str, float]) -> None:
            live.step = epoch
            for name, value in losses.items():
                live.log_metric(name, value)
            live.make_summary()

        return write

    return start
