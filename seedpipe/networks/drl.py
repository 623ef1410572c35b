"""Networks of the DRL authors: a speaker network and an auto-encoder that splits its output in two codes.

The embedding is the speaker code, the first half of the auto-encoder's code; the other half describes the environment.
The two are equally long, as discriminators of one size judge both.

Source: Nam et al., "Disentangled representation learning for environment-agnostic speaker recognition", Interspeech
2024; names and front ends of kaistmm/voxceleb-disentangler.
"""

from __future__ import annotations

from torch import Tensor, nn

from seedpipe.networks.ecapa import COEFFICIENTS, POOLED, ECAPATrunk
from seedpipe.networks.layers import (
    FrozenNetwork,
    mel_spectrogram,
    normalised_log_mel,
    power_and_deviation,
    seeded,
    single_precision,
)
from seedpipe.networks.resnet34 import ResNet34Trunk

__all__ = ["ECAPADRL", "ResNet34DRL"]


def _encoder(inputs: int, dimension: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(inputs), nn.Linear(inputs, 2 * dimension))


class ResNet34DRL(FrozenNetwork):
    """ResNet34 whose pooling gives sqrt(E_w[x^2]) and the standard deviation, and its speaker code.

    Waveforms (B, T) float32 in [-1, 1] at 16 kHz -> embeddings (B, D).

    Parameters
    ----------
    dimension : int
        D, length of the speaker code.
    seed : int
        Of the random weights that it is made with.
    """

    kind = "resnet34_drl"
    min_samples = ResNet34Trunk.min_samples

    def __init__(self, dimension: int = 512, seed: int = 0) -> None:
        super().__init__()
        self.dimension = dimension
        with seeded(seed):
            self.speaker = ResNet34Trunk()
            self.encoder = _encoder(2 * self.speaker.channels, dimension)
        self.freeze()

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        pooled = power_and_deviation(*self.speaker.moments(waveforms))
        with single_precision(waveforms):
            codes: Tensor = self.encoder(pooled)
        return codes[:, : self.dimension]


class ECAPADRL(FrozenNetwork):
    """ECAPA-TDNN on 80 normalised log mels, and its speaker code.

    Waveforms (B, T) float32 in [-1, 1] at 16 kHz -> embeddings (B, D).

    Parameters
    ----------
    dimension : int
        D, length of the speaker code.
    seed : int
        Of the random weights that it is made with.
    """

    kind = "ecapa_drl"
    min_samples = ECAPATrunk.min_samples

    def __init__(self, dimension: int = 256, seed: int = 0) -> None:
        super().__init__()
        self.dimension = dimension
        with seeded(seed):
            self.speaker = ECAPATrunk(mel_spectrogram(COEFFICIENTS))
            self.encoder = _encoder(2 * POOLED, dimension)
        self.freeze()

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        pooled = self.speaker.pooled(normalised_log_mel(self.speaker.torchmfcc, waveforms))
        with single_precision(waveforms):
            codes: Tensor = self.encoder(pooled)
        return codes[:, : self.dimension]
