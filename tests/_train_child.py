"""Trains in a process that dies, or may write no more, at a chosen moment: arguments CACHE OUT MOMENT PARAMS."""

import os
import resource
import signal
import sys
from pathlib import Path

import synthetic  # noqa: F401 - sets the number of threads

from seedpipe.cache import open_cache
from seedpipe.enhancers import TrainingPoint, train, trainer
from seedpipe.files import folders
from seedpipe.params import TrainParams


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(calls: int, function: object) -> object:
    """The function, which dies at its call of this number."""
    count = 0

    def called(*given: object, **named: object) -> object:
        nonlocal count
        count += 1
        if count == calls:
            die()
        return function(*given, **named)

    return called


def progress(point: TrainingPoint, _: int) -> None:
    if moment == "disk full" and point.step == 36:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))


moment = sys.argv[3]
if moment == "second epoch":
    trainer.distance = after(30, trainer.distance)
elif moment == "rename":
    os.fsync = after(3, os.fsync)
elif moment == "publishing":
    folders.publish_folder = after(1, folders.publish_folder)
elif moment == "published":
    folders.shutil.rmtree = after(1, folders.shutil.rmtree)
params = TrainParams.model_validate_json(sys.argv[4])
train(open_cache(sys.argv[1]), Path(sys.argv[2]), params, progress=progress)
