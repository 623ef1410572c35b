"""Time and memory of one system after another, each in a process of its own, so that none inherits another's memory."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seedpipe.bench.systems import Stage, SystemSpec, stages_of
from seedpipe.errors import WorkerLostError
from seedpipe.extract.embed import FIXED_FLAGS
from seedpipe.networks.selftest import synthetic_signal

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback


WARM_UP = 2
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"  # see proc(5)


@dataclass(frozen=True)
class Setup:
    """What all rows have in common.

    Parameters
    ----------
    batches : tuple of int
        Utterances of one call.
    seconds : float
        Length of each of them.
    repeats : int
        Timed calls.
    threads : int
        Threads of torch; 0 for its own choice.
    device : str
        ``cpu`` or ``cuda``.
    """

    batches: tuple[int, ...] = (1, 32)
    seconds: float = 4.0
    repeats: int = 10
    threads: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Measurement:
    """What a system costs.

    Parameters
    ----------
    system : str
        Names of its stages, joined by ``->``.
    batch : int
        Utterances of one call.
    parameters : int or None
        Of all stages; None where one does not say.
    real_time_factor : float
        Seconds of computing per second of audio, median of the repeats.
    quartiles : tuple of float
        First and third quartile of the same.
    stages : dict of str to float
        Real-time factor of each stage, median; keys from :data:`seedpipe.bench.systems.STAGES`.
    enhancer_share : float or None
        Share of the enhancer in the time of a call, median, 0 to 1.
    peak_memory_bytes : int or None
        CPU: memory of the process at its peak less that after the imports, None where the system does not tell.
        CUDA: what torch had allocated at its peak.
    device : str
        ``cpu``, or the name of the GPU.
    threads : int
        Threads of torch.
    untrained : bool
        Whether the enhancer is untrained.
    """

    system: str
    batch: int
    parameters: int | None
    real_time_factor: float
    quartiles: tuple[float, float]
    stages: dict[str, float]
    enhancer_share: float | None
    peak_memory_bytes: int | None
    device: str
    threads: int
    untrained: bool


def benchmark(systems: Sequence[SystemSpec], setup: Setup, progress: ProgressCallback) -> Iterator[Measurement]:
    """Measure every system with every batch, one at a time.

    Raises
    ------
    SeedpipeError
        A system cannot be made; WorkerLostError where memory was short or its process was killed.
    """
    rows = [(system, batch) for batch in setup.batches for system in systems]
    context = multiprocessing.get_context("spawn")
    for done, (system, batch) in enumerate(rows):
        progress(done, len(rows))
        with ProcessPoolExecutor(1, context) as process:
            try:
                yield process.submit(measure, system, batch, setup).result()
            except (BrokenProcessPool, torch.OutOfMemoryError) as error:
                raise WorkerLostError(
                    f"{system.network} with batches of {batch} takes more memory than there is, or its process was "
                    "killed",
                    remedy="measure smaller batches (--batch)",
                ) from error
    progress(len(rows), len(rows))


def measure(system: SystemSpec, batch: int, setup: Setup) -> Measurement:
    """Measure one system in this process, which should be a fresh one: memory is counted from here.

    Raises
    ------
    SeedpipeError
        The system cannot be made.
    """
    device = torch.device(setup.device)
    if setup.threads:
        torch.set_num_threads(setup.threads)
    memory = _Memory(device)
    stages = stages_of(system, setup.seconds, device)
    waveforms = _waveforms(batch, setup.seconds, stages[-1].sample_rate).to(device)
    memory.forget_peak()
    with torch.inference_mode(), FIXED_FLAGS:  # as an extraction computes
        for _ in range(WARM_UP):
            _clock(stages, waveforms)
        seconds = np.array([_clock(stages, waveforms) for _ in range(setup.repeats)])
    factors = seconds / (batch * setup.seconds)
    total = factors.sum(axis=1)
    counts = [stage.parameters for stage in stages]
    return Measurement(
        system=" -> ".join(stage.name for stage in stages),
        batch=batch,
        parameters=None if None in counts else sum(count for count in counts if count is not None),
        real_time_factor=float(np.median(total)),
        quartiles=(float(np.quantile(total, 0.25)), float(np.quantile(total, 0.75))),
        stages={stage.role: float(value) for stage, value in zip(stages, np.median(factors, axis=0), strict=True)},
        enhancer_share=float(np.median(factors[:, -1] / total)) if system.enhancer else None,
        peak_memory_bytes=memory.peak(),
        device="cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        threads=torch.get_num_threads(),
        untrained=system.enhancer is not None and system.model is None,
    )


def _waveforms(batch: int, seconds: float, sample_rate: int) -> Tensor:
    samples = round(seconds * sample_rate)
    return torch.from_numpy(np.stack([synthetic_signal(samples, sample_rate, key) for key in range(batch)]))


def _clock(stages: Sequence[Stage], waveforms: Tensor) -> NDArray[np.float64]:
    """Seconds of every stage of one call."""
    signal, times = waveforms, [time.perf_counter()]
    for stage in stages:
        signal = stage.call(signal)
        if signal.is_cuda:
            torch.cuda.synchronize(signal.device)
        times.append(time.perf_counter())
    return np.diff(times)


class _Memory:
    """Memory beyond that of the code; the peak is watched once weights are loaded, which takes more for an instant."""

    def __init__(self, device: torch.device) -> None:
        _import_what_is_lazy()
        self._cuda, self._before = device.type == "cuda", _resident("VmRSS")

    def forget_peak(self) -> None:
        """Start to watch for the peak."""
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        elif CLEAR_REFS.exists():
            CLEAR_REFS.write_text(FORGET_PEAK, encoding="ascii")

    def peak(self) -> int | None:
        """Bytes at the peak since then."""
        if self._cuda:
            return torch.cuda.max_memory_allocated()
        highest = _resident("VmHWM")
        return None if highest is None or self._before is None else max(0, highest - self._before)


def _resident(field: str) -> int | None:
    """A figure of the process in bytes; unlike getrusage, Linux does not begin it with the memory of the parent."""
    try:
        lines = STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        return None
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _import_what_is_lazy() -> None:
    for module in ("torchaudio", "diffusers.schedulers.scheduling_ddim", "safetensors.torch"):
        importlib.import_module(module)
