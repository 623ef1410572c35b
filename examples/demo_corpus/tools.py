"""What every part of the demonstration corpus shares: keyed generators, optional packages and FLAC writing."""

from __future__ import annotations

import importlib
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seedpipe.errors import MissingExtraError, install

__all__ = ["SAMPLE_RATE", "Samples", "generator", "optional", "scaled", "uniform", "write_flac"]

SAMPLE_RATE = 16_000
Samples: TypeAlias = npt.NDArray[np.float64]


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return the generator that belongs to a seed and a key.

    Nothing is drawn from a generator that another draw has touched: files can be made in any order, by any number of
    workers.

    Parameters
    ----------
    seed : int
        Seed of the corpus.
    *key : str or int
        What is drawn, for instance ``"train", "noise", 3``.

    Returns
    -------
    numpy.random.Generator
        PCG64, seeded with the first 128 bits of the BLAKE2b digest of seed and key.

    Examples
    --------
    >>> int(generator(0, "a").integers(100)) == int(generator(0, "a").integers(100))
    True
    """
    name = "\x1f".join(str(part) for part in (seed, *key))
    number = int.from_bytes(blake2b(name.encode(), digest_size=16).digest(), "big")
    return np.random.Generator(np.random.PCG64(number))


def optional(module: str) -> Any:
    """Import a module that comes with the extra ``demo``.

    Parameters
    ----------
    module : str
        Its dotted name.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"the synthetic demonstration corpus needs {module!r}, and importing it failed ({error})",
            expected="the extra 'demo' to be installed",
            remedy=install("demo"),
        ) from error


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw one number from ``[low, high)``."""
    return float(rng.uniform(low, high))


def scaled(samples: Samples, peak: float) -> Samples:
    """Scale to an absolute peak.

    Parameters
    ----------
    samples : ndarray, shape (samples,)
        Any signal.
    peak : float
        Wanted largest absolute value, full scale is 1.

    Returns
    -------
    ndarray, shape (samples,)
        The scaled signal.
    """
    return np.asarray(samples * (peak / max(float(np.abs(samples).max()), 1e-12)))


def write_flac(path: Path, samples: Samples) -> int:
    """Write one 16 kHz mono 16-bit FLAC file.

    Parameters
    ----------
    path : Path
        File to write; its folder is made.
    samples : ndarray, shape (samples,)
        Signal within -1 and 1.

    Returns
    -------
    int
        Number of samples written.
    """
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    # Rounded here and not in libsndfile, whose conversion of floating point has changed between its releases.
    pcm = np.clip(np.rint(samples * 32767.0), -32768, 32767).astype(np.int16)
    soundfile.write(path, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return len(pcm)
