"""Checkpoints: one safetensors file with all that a training goes on from; nothing is ever unpickled.

Its notes state the digest of everything in it: a checkpoint with one bit changed would lead to another model.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from seedpipe.enhancers.base import TrainingPoint
from seedpipe.errors import ModelError
from seedpipe.files import whole_file

LOG = logging.getLogger(__name__)
FORMAT = "seedpipe-checkpoint-2"


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
        notes = self._notes() | {"digest": self._digest()}
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
        """Read one; None where there is none, or none as it was written, so that training begins anew."""
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                notes = json.loads(file.metadata()["notes"])
                curve = tuple(TrainingPoint(**point) for point in notes["curve"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checkpoint = cls(tensors, notes["step"], curve)
            if (notes["format"], notes["digest"]) == (FORMAT, checkpoint._digest()):
                return checkpoint
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            pass
        LOG.warning("%s is not as it was written; training begins again", path)
        return None

    def _notes(self) -> dict[str, Any]:
        return {"format": FORMAT, "step": self.step, "curve": [asdict(point) for point in self.curve]}

    def _digest(self) -> str:
        """SHA-256 of the notes, and of the tensors with their names and types."""
        digest = hashlib.sha256(json.dumps(self._notes()).encode())
        for name, tensor in sorted(self.tensors.items()):
            digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()
