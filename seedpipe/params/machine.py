"""The section ``machine``: what runs where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from seedpipe.params.section import Section


class MachineParams(Section):
    """What the machine is asked for; nothing here changes what is computed, so no stage depends on it."""

    jobs: int = Field(default=0, ge=0)
    """Worker processes; 0 stands for as many as there are cores for this process."""
    backend: Literal["loky", "ray", "dask"] = "loky"
    """The joblib backend that runs stage one: on this machine, or on a Ray or Dask cluster (docs/cluster.md)."""
    address: str = ""
    """HOST:PORT of a Ray or Dask cluster that runs already; either backend needs one."""
    gpus: int = Field(default=0, ge=0)
    """GPUs that the workers of stage one share evenly, one or more workers on each; 0 for all that there are."""
    batch: int = Field(default=256, ge=1)
    """Waveforms that a worker mixes ahead of the network. Forward passes have one fixed shape whatever this is."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run, enhancers are trained and lists are scored; ``auto`` is the GPU where there is one. From one
    seed, training on a GPU and on the processor gives different weights; all else agrees within rounding."""
    log: Literal["", "tensorboard", "dvclive"] = ""
    """Where the curve of a training can be watched as it grows (docs/training.md); empty for nowhere."""

    @property
    def workers(self) -> int:
        """Worker processes on this machine."""
        import joblib

        return self.jobs or joblib.cpu_count()
