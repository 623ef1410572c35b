"""Whether a network still gives the numbers that it gave: a synthetic signal, and what must hold for every network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from seedpipe.errors import NetworkError, SeedpipeError, counted, shortage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from seedpipe.networks.protocol import SpeakerNetwork

TOLERANCE = 1e-4
"""Self-tests whose values differ by at most this share of the largest are the same: float32 sums in another order stay
two decades below, another filter bank, weight or library default lies decades above."""
PARTS = 8
SECONDS = 2
MATES = 4
ROUNDING = 1e-5  # of the largest value: what a row may change with its batch mates, on devices that sum in any order


@dataclass(frozen=True)
class Check:
    """One property of a network."""

    name: str
    passed: bool
    detail: str


def synthetic_signal(samples: int, sample_rate: int, key: int = 0) -> NDArray[np.float32]:
    """Two swelling tones in noise; made of integers and sines alone, so equal everywhere.

    Parameters
    ----------
    samples : int
    sample_rate : int
        Samples per second.
    key : int
        Another one gives another signal.

    Returns
    -------
    ndarray of float32, shape (samples,)
    """
    seconds = np.arange(samples) / sample_rate
    bits = np.random.PCG64(key).random_raw(samples)  # a stream that numpy keeps, unlike its normal numbers
    noise = (bits >> np.uint64(11)) * 2.0**-53 - 0.5
    swell = np.sin(2 * np.pi * 3 * seconds)
    tones = np.sin(2 * np.pi * (110 + 40 * key) * seconds) + 0.5 * np.sin(2 * np.pi * (1030 + 70 * key) * seconds)
    signal: NDArray[np.float32] = (0.2 * swell * tones + 0.1 * noise).astype(np.float32)
    return signal


def self_test(network: SpeakerNetwork, device: torch.device | str = "cpu") -> list[float]:
    """Means over eight equal parts of the embedding of the synthetic signal, to six digits.

    Parameters
    ----------
    network : SpeakerNetwork
    device : torch.device or str
        Where the network is.

    Examples
    --------
    >>> from seedpipe.networks.resnet34 import ResNet34
    >>> len(self_test(ResNet34()))
    8
    """
    embedding = _embed(network, _signals(network, [0]).to(device))[0].numpy()
    parts = np.array_split(embedding.astype(np.float64), min(PARTS, embedding.size))
    return [float(f"{part.mean():.6g}") for part in parts]


def same_numbers(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two self-tests agree to :data:`TOLERANCE`."""
    return len(first) == len(second) and _difference(first, second) <= TOLERANCE


def shortest_input(network: Callable[[Tensor], Tensor], lengths: Sequence[int]) -> tuple[int, int]:
    """Find the shortest waveform, among a few, that gives finite values, and D.

    Parameters
    ----------
    network : callable
        Waveforms (B, T) -> embeddings (B, D).
    lengths : sequence of int
        Samples, to be tried in turn.

    Raises
    ------
    ValueError
        There is none; its cause is what the network raised last.
    """
    failed: Exception | None = None
    for samples in lengths:
        # Another number of rows than one: a batch axis may have been fixed unawares.
        waveforms = torch.sin(torch.arange(2 * samples) * 0.1).view(2, samples)
        try:
            with torch.inference_mode():
                embeddings = network(waveforms)
            if len(embeddings) == 2 and embeddings.numel() and torch.isfinite(embeddings).all():
                return samples, embeddings.shape[1]
        except Exception as error:  # a padding that does not fit, and whatever else a model may raise
            failed = error
    raise ValueError("its values are not finite, or there are none") from failed


def check_network(network: SpeakerNetwork, stored: Sequence[float] = ()) -> list[Check]:
    """Try what the pipeline relies on.

    Parameters
    ----------
    network : SpeakerNetwork
        On the CPU.
    stored : sequence of float
        An earlier self-test to compare with.

    Returns
    -------
    list of Check

    Raises
    ------
    NetworkError
        The network fails on two seconds of sound.
    """
    signals = _signals(network, range(MATES))
    together = _embed(network, signals)
    shape = tuple(together.shape)
    checks = [Check("shape", shape == (MATES, network.dimension), f"{shape} for {MATES} waveforms")]
    checks.append(_finite("finite values", together))
    if not all(check.passed for check in checks):
        return checks
    checks.append(_equal("the same again", together, _embed(network, signals), exact=True))
    others = torch.cat((signals[:1], torch.zeros_like(signals[:1]), signals[1:3] * 0.01))
    checks.append(_equal("a row without regard to its batch", together[:1], _embed(network, others)[:1], exact=False))
    checks.append(_tried("silence", network, torch.zeros_like(signals)))
    shortest = f"{network.min_samples} samples, the shortest"
    checks.append(_tried(shortest, network, signals[:, : network.min_samples]))
    if stored:
        found = self_test(network)
        checks.append(Check("the stored self-test", same_numbers(found, stored), _compared(found, stored)))
    return checks


def _signals(network: SpeakerNetwork, keys: Sequence[int]) -> Tensor:
    samples = max(SECONDS * network.sample_rate, network.min_samples)
    return torch.from_numpy(np.stack([synthetic_signal(samples, network.sample_rate, key) for key in keys]))


def _embed(network: SpeakerNetwork, waveforms: Tensor) -> Tensor:
    try:
        with torch.inference_mode():
            return network(waveforms).float().cpu()
    except SeedpipeError:
        raise
    except Exception as error:  # a network may fail in any way
        shape = " x ".join(map(str, waveforms.shape))
        raise shortage(error) or NetworkError(
            f"the network {network.name} fails on {shape} samples: {error}",
            expected=f"embeddings of waveforms of {network.min_samples} samples or more",
            remedy="correct the network or its min_samples",
        ) from error


def _tried(name: str, network: SpeakerNetwork, waveforms: Tensor) -> Check:
    try:
        return _finite(name, _embed(network, waveforms))
    except SeedpipeError as error:
        return Check(name, passed=False, detail=error.found)


def _finite(name: str, embeddings: Tensor) -> Check:
    broken = int((~torch.isfinite(embeddings)).sum())
    return Check(
        name,
        broken == 0,
        f"{counted(broken, 'value', 'is/are', of=embeddings.numel())} not finite" if broken else "finite",
    )


def _equal(name: str, first: Tensor, second: Tensor, *, exact: bool) -> Check:
    difference = float((first - second).abs().max() / first.abs().max().clamp(min=1e-12))
    detail = "equal to the last bit" if difference == 0 else f"differs by {difference:.1e} of the largest value"
    return Check(name, difference <= (0 if exact else ROUNDING), detail)


def _compared(found: Sequence[float], stored: Sequence[float]) -> str:
    if len(found) != len(stored):
        return f"has {counted(len(stored), 'value')}, {len(found)} expected"
    return f"differs by {_difference(found, stored):.1e} of the largest value, {TOLERANCE:.0e} allowed"


def _difference(first: Sequence[float], second: Sequence[float]) -> float:
    return float(np.abs(np.subtract(first, second)).max() / max(1e-12, np.abs(second).max()))
