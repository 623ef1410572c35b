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
    single_precision,
)
from seedpipe.networks.resnet34 import ResNet34Trunk


class _DRL(FrozenNetwork):
    """Pooled moments, and the speaker code that the encoder makes of them."""

    output = "encoder.1.weight"
    output_rows = 2

    def add_encoder(self, inputs: int) -> None:
        """Add the half of the auto-encoder that makes codes of pooled moments (B, inputs)."""
        self.encoder = nn.Sequential(nn.BatchNorm1d(inputs), nn.Linear(inputs, 2 * self.dimension))

    def pooled(self, waveforms: Tensor) -> Tensor:
        """sqrt(E_w[x^2]) and the standard deviation, side by side: waveforms (B, T) -> (B, inputs)."""
        raise NotImplementedError

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        pooled = self.pooled(waveforms)
        with single_precision(waveforms):
            codes: Tensor = self.encoder(pooled)
        return codes[:, : self.dimension]


class ResNet34DRL(_DRL):
    """ResNet34 whose pooling gives sqrt(E_w[x^2]) and the standard deviation, and its speaker code."""

    kind = "resnet34_drl"
    landmark = "speaker.layer4.0.conv1.weight"
    front_end = "speaker.torchfb"
    dimension = 512
    min_samples = ResNet34Trunk.min_samples

    def build(self) -> None:
        """Add the layers."""
        self.speaker = ResNet34Trunk()
        self.add_encoder(2 * self.speaker.channels)

    def pooled(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> (B, 4096)."""
        return power_and_deviation(*self.speaker.moments(waveforms))


class ECAPADRL(_DRL):
    """ECAPA-TDNN on 80 normalised log mels, and its speaker code."""

    kind = "ecapa_drl"
    landmark = "speaker.layer4.weight"
    front_end = "speaker.torchmfcc"
    dimension = 256
    min_samples = ECAPATrunk.min_samples

    def build(self) -> None:
        """Add the layers."""
        self.speaker = ECAPATrunk(mel_spectrogram(COEFFICIENTS))
        self.add_encoder(2 * POOLED)

    def pooled(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> (B, 3072)."""
        return self.speaker.pooled(normalised_log_mel(self.speaker.torchmfcc, waveforms))
