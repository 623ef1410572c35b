"""The GE2E d-vector network of the Resemblyzer wheel: 256-d, small; it works offline.

The weights are read out of the installed wheel; the package itself is not imported. An utterance is cut into partial
utterances of 160 mel frames (1.6 s), each gives one embedding, and their mean is normalised to unit length.

Source: Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP 2018; Resemblyzer 0.1.4 (Apache-2.0).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

from seedpipe.errors import NetworkError
from seedpipe.files import file_digest
from seedpipe.networks.checkpoint import read_tensors
from seedpipe.networks.wheel import weights_in_wheel

WHEEL = "Resemblyzer==0.1.4"
PARTIAL_FRAMES = 160
HOP = 160
PARTIALS_PER_SECOND = 1.3
MIN_COVERAGE = 0.75
LOWEST_LEVEL = -96  # dB of full scale, that of 16 bits


def partial_starts(samples: int) -> list[int]:
    """First mel frame of every partial utterance.

    Parameters
    ----------
    samples : int
        Length of the waveform at 16 kHz.

    Returns
    -------
    list of int
        At least one; the last partial utterance is dropped when audio covers less than 75 % of it.

    Examples
    --------
    >>> partial_starts(32240)
    [0, 77]
    """
    frames = -(-(samples + 1) // HOP)
    step = round(16_000 / PARTIALS_PER_SECOND / HOP)
    starts = list(range(0, max(1, frames - PARTIAL_FRAMES + step + 1), step))
    coverage = (samples - starts[-1] * HOP) / (PARTIAL_FRAMES * HOP)
    return starts[:-1] if coverage < MIN_COVERAGE and len(starts) > 1 else starts


def raised(waveforms: Tensor, level_dbfs: float) -> Tensor:
    """Bring the mean power of each waveform, shape (B, T), up to a level in dB of full scale; silence stays."""
    power = waveforms.double().square().mean(dim=1, keepdim=True)
    gain = (10 ** (level_dbfs / 10) / power).sqrt().clamp(min=1)
    return waveforms * torch.where(power > 0, gain, 1).to(waveforms.dtype)


class DVector(nn.Module):
    """Waveforms (B, T) float32 in [-1, 1] at 16 kHz -> embeddings (B, 256) of unit length.

    Parameters
    ----------
    level_dbfs : float, optional
        Raise each waveform whose mean power is below this level, in dB of full scale, to it; none is lowered. The
        package does so to whole utterances, with -30, in ``preprocess_wav``. Left out: audio as it is.

    Raises
    ------
    MissingExtraError
        The Resemblyzer wheel, which carries the weights, is not installed.
    """

    name = kind = "dvector"
    sample_rate = 16_000
    dimension = 256
    min_samples = 1

    def __init__(self, level_dbfs: float | None = None) -> None:
        super().__init__()
        self.level_dbfs = None if level_dbfs is None else float(level_dbfs)
        if self.level_dbfs is not None and not LOWEST_LEVEL <= self.level_dbfs <= 0:
            raise NetworkError(
                f"level_dbfs is {level_dbfs}",
                expected=f"{LOWEST_LEVEL} to 0, in dB of full scale",
                remedy="the package has -30",
            )
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=self.sample_rate,
            n_fft=400,
            hop_length=HOP,
            n_mels=40,
            power=2.0,
            pad_mode="constant",
            norm="slaney",
            mel_scale="slaney",
        )
        self.lstm = nn.LSTM(40, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, self.dimension)
        path = weights_in_wheel("dvector", WHEEL, "resemblyzer/pretrained.pt")
        self._digest = file_digest(path)
        self._load(path)
        self.eval().requires_grad_(False)

    def _load(self, path: Path) -> None:
        state = read_tensors(path)  # similarity_weight and similarity_bias in it belong to the training loss
        try:
            for part in ("lstm", "linear"):
                own = {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(part)}
                self.get_submodule(part).load_state_dict(own)
        except RuntimeError as error:
            raise NetworkError(
                f"the weights do not fit ({error})",
                expected="the pretrained.pt of Resemblyzer 0.1.4",
                remedy=f"pip install --no-deps --force-reinstall {WHEEL}",
                file=path,
            ) from error

    def fingerprint(self) -> str:
        """Digest of the weights file and of the front end's settings."""
        settings = f"{self.name}:{self._digest}:{PARTIAL_FRAMES}:{PARTIALS_PER_SECOND}:{MIN_COVERAGE}"
        settings += "" if self.level_dbfs is None else f":{self.level_dbfs}"
        return hashlib.sha256(settings.encode()).hexdigest()

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, 256)."""
        if self.level_dbfs is not None:
            waveforms = raised(waveforms, self.level_dbfs)
        starts = partial_starts(waveforms.shape[1])
        padding = (starts[-1] + PARTIAL_FRAMES) * HOP - waveforms.shape[1]
        mels = self.mel(functional.pad(waveforms, (0, max(padding, 0)))).transpose(1, 2)
        partials = torch.stack([mels[:, start : start + PARTIAL_FRAMES] for start in starts], dim=1)
        _, (hidden, _) = self.lstm(partials.flatten(0, 1))
        embeddings = functional.normalize(functional.relu(self.linear(hidden[-1])), dim=1)
        return functional.normalize(embeddings.view(len(waveforms), len(starts), -1).mean(dim=1), dim=1)
