"""The paper's enhancer: Demucs on waveforms, causal, 33.5 M parameters, from the package ``denoiser``.

The weights are read from the folder to which the package itself would fetch them; nothing is fetched here. Package and
weights are licensed for non-commercial use (CC BY-NC 4.0).

Source: Défossez, Synnaeve and Adi, "Real time speech enhancement in the waveform domain", Interspeech 2020.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.functional import resample

from seedpipe.errors import FrontendError, MissingExtraError, NetworkError
from seedpipe.networks.checkpoint import read_state
from seedpipe.networks.layers import fingerprint

RATE = 16_000
HOST = "https://dl.fbaipublicfiles.com/adiyoss/denoiser/"
DNS64, MASTER64 = "dns64-a7761ff99a7d5bb6.th", "master64-8a5dfb4bb92753dd.th"
FIRST_LAYER = "encoder.0.0.weight"  # shape (hidden channels, 1, 8)
LEAST_SAMPLES = 2  # the network divides by the standard deviation of its input
MOST_SAMPLES = 2**19  # of one forward pass, 33 s: about 1 GB at 64 hidden channels


def dns64(sample_rate: int) -> Denoiser:
    """The weights trained on the DNS challenge, from torch's folder of downloads."""
    return Denoiser("denoiser", _downloads() / DNS64, sample_rate)


def master64(sample_rate: int) -> Denoiser:
    """The weights trained on the DNS challenge and Valentini's set, from torch's folder of downloads."""
    return Denoiser("denoiser-master64", _downloads() / MASTER64, sample_rate)


class Denoiser:
    """Waveforms (B, T) float32 in [-1, 1] -> cleaned waveforms (B, T).

    Parameters
    ----------
    name : str
        Name in tables.
    path : Path
        Weights of the causal Demucs of the package, of any width: tensors alone.
    sample_rate : int
        Samples per second of input and output; resampled to 16 kHz and back inside.

    Raises
    ------
    MissingExtraError
        The package ``denoiser`` is not installed.
    FrontendError
        The weights are missing, damaged or of another network.
    """

    def __init__(self, name: str, path: Path, sample_rate: int) -> None:
        self.name, self.sample_rate = name, sample_rate
        self.module = _load(path, name)

    @property
    def parameter_count(self) -> int:
        """Weights of the network."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Clean a batch, as many rows at a time as memory allows."""
        samples = waveforms.shape[1]
        padded = functional.pad(waveforms, (0, max(0, LEAST_SAMPLES - samples)))
        narrow = resample(padded, self.sample_rate, RATE)
        parts = torch.split(narrow, max(1, MOST_SAMPLES // narrow.shape[1]))
        with torch.no_grad():
            cleaned = torch.cat([self.module(part).squeeze(1) for part in parts])
        restored: Tensor = resample(cleaned, RATE, self.sample_rate)
        return restored[:, :samples]

    def fingerprint(self) -> str:
        """Digest of the weights and of the resampling."""
        settings = f"{fingerprint('demucs', self.module)}:{self.sample_rate}"
        return hashlib.sha256(settings.encode()).hexdigest()

    def to(self, device: torch.device) -> Denoiser:
        """Move the weights."""
        self.module.to(device)
        return self


def _downloads() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _load(path: Path, name: str) -> nn.Module:
    demucs = _demucs(name)
    if not path.is_file():
        raise FrontendError(
            f"the weights of the front end {name!r} are missing",
            expected=f"this file, as {HOST}{path.name} has it",
            remedy="download it to there; TORCH_HOME chooses another folder",
            file=path,
        )
    try:
        state = read_state(path)
        module = demucs(hidden=state[FIRST_LAYER].shape[0], sample_rate=RATE)
        module.load_state_dict(state)
    except (NetworkError, KeyError, RuntimeError) as error:
        reason = error.found if isinstance(error, NetworkError) else "its entries are not those of the network"
        raise FrontendError(
            f"holds no weights of the front end {name!r}: {reason}",
            expected="the tensors of a causal Demucs",
            remedy=f"download it again ({HOST})",
            file=path,
        ) from error
    module.eval().requires_grad_(False)
    return module


def _demucs(name: str) -> Callable[..., nn.Module]:
    try:
        from denoiser.demucs import Demucs
    except ImportError as error:
        # No extra: the package asks for a hydra-core that DVC refuses, and Demucs needs none of what it asks for.
        raise MissingExtraError(
            f"the front end {name!r} needs the package denoiser, which is not installed",
            remedy="pip install --no-deps denoiser==0.1.5",
        ) from error
    make: Callable[..., nn.Module] = Demucs
    return make
