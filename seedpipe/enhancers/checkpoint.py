"""Checkpoints: one safetensors file with all that a training goes on from; nothing is ever unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from seedpipe.enhancers.base import TrainingPoint
from seedpipe.errors import ModelError
from seedpipe.files import whole_file

FORMAT = "seedpipe-checkpoint-1"


@dataclass(frozen=True)
class Checkpoint:
    """All that training goes on from: the tensors, the steps taken and the curve so far."""

    tensors: dict[str, Tensor]
    step: int
    curve: tuple[TrainingPoint, ...]

    def write(self, path: Path) -> None:
        """Write it, whole or not at all, in the place of an older one.

        Raises
        ------
        ModelError
            It cannot be written; the older one is still there.
        """
        notes = {"format": FORMAT, "step": self.step, "curve": [asdict(point) for point in self.curve]}
        try:
            with whole_file(path) as partial:
                partial.write_bytes(save(self.tensors, {"notes": json.dumps(notes)}))
        except OSError as error:
            raise ModelError(
                f"the checkpoint of step {self.step} cannot be written ({error})",
                remedy="make room on the disk or make the folder writable; the same command then goes on from the last"
                " one",
                file=path,
            ) from error

    @classmethod
    def read(cls, path: Path) -> Checkpoint | None:
        """Read one; None where there is none that can be read, so that training begins anew."""
        try:
            with safe_open(path, "pt") as file:
                notes = json.loads(file.metadata()["notes"])
                if notes["format"] != FORMAT:
                    return None
                curve = tuple(TrainingPoint(**point) for point in notes["curve"])
                return cls({name: file.get_tensor(name) for name in file.keys()}, notes["step"], curve)  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
