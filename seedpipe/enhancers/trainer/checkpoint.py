"""Checkpoints: one safetensors file with all that a training goes on from; nothing is ever unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from seedpipe.enhancers.trainer.result import Epoch
from seedpipe.enhancers.trainer.steps import State
from seedpipe.errors import ModelError
from seedpipe.files import whole_file

__all__ = ["read", "write"]

FORMAT = "seedpipe-checkpoint-1"


def write(path: Path, state: State) -> None:
    """Write a checkpoint, whole or not at all, in the place of an older one.

    Raises
    ------
    ModelError
        It cannot be written; the older one is still there.
    """
    notes = {"format": FORMAT, "step": state.step, "curve": [asdict(epoch) for epoch in state.curve]}
    try:
        with whole_file(path) as partial:
            partial.write_bytes(save(state.tensors, {"notes": json.dumps(notes)}))
    except OSError as error:
        raise ModelError(
            f"the checkpoint of epoch {len(state.curve)} cannot be written ({error})",
            remedy="make room on the disk or make the folder writable; the same command then goes on from the last one",
            file=path,
        ) from error


def read(path: Path) -> State | None:
    """Read a checkpoint; None where there is none that can be read, so that training begins anew."""
    try:
        with safe_open(path, "pt") as file:
            notes = json.loads(file.metadata()["notes"])
            if notes["format"] != FORMAT:
                return None
            curve = tuple(Epoch(**epoch) for epoch in notes["curve"])
            return State({name: file.get_tensor(name) for name in file.keys()}, notes["step"], curve)  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
