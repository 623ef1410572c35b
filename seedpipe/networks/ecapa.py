"""ECAPA-TDNN with 1,024 channels on 80 MFCCs, as the SEED authors trained it: 256-d.

It departs from the paper that introduced ECAPA: ReLU before batch norm, the inputs of the blocks are summed, the
pooling concatenates sqrt(E_w[x^2]) and the standard deviation, and nothing normalises the embedding.

Source: Desplanques et al., "ECAPA-TDNN", Interspeech 2020; the names are those of the SEED authors' checkpoints.
"""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

from seedpipe.networks.layers import (
    FLOOR,
    LEAST_VARIANCE,
    SPECTRUM,
    FrozenNetwork,
    PreEmphasis,
    power_and_deviation,
    res2_convolutions,
    res2_layers,
    single_precision,
    weighted_moments,
)

COEFFICIENTS = 80
CHANNELS = 1024
POOLED = 1536
BOTTLENECK = 128


class _SqueezeExcitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool1d(1),
            nn.Conv1d(channels, BOTTLENECK, 1),
            nn.ReLU(),
            nn.BatchNorm1d(BOTTLENECK),
            nn.Conv1d(BOTTLENECK, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, frames: Tensor) -> Tensor:
        gates: Tensor = self.se(frames)
        return frames * gates


class _Block(nn.Module):
    """Res2Net block with squeeze and excitation."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 1)
        self.bn1 = nn.BatchNorm1d(channels)
        self.convs, self.bns = res2_layers(channels, dilation)
        self.conv3 = nn.Conv1d(channels, channels, 1)
        self.bn3 = nn.BatchNorm1d(channels)
        self.se = _SqueezeExcitation(channels)

    def forward(self, frames: Tensor) -> Tensor:
        inner = self.bn1(functional.relu(self.conv1(frames)))
        inner = res2_convolutions(inner, self.convs, self.bns)
        inner = self.bn3(functional.relu(self.conv3(inner)))
        gated: Tensor = self.se(inner) + frames
        return gated


class ECAPATrunk(nn.Module):
    """Features (B, 80, F) to pooled moments: all of the network between its front end and the embedding.

    Parameters
    ----------
    front_end : Sequential, optional
        Waveforms (B, T) to features (B, 80, F), which others normalise; MFCCs by default.
    """

    min_samples = 257  # the spectrogram reflects 256 samples at either end

    def __init__(self, front_end: nn.Sequential | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(COEFFICIENTS, CHANNELS, 5, padding=2)
        self.bn1 = nn.BatchNorm1d(CHANNELS)
        self.layer1 = _Block(CHANNELS, dilation=2)
        self.layer2 = _Block(CHANNELS, dilation=3)
        self.layer3 = _Block(CHANNELS, dilation=4)
        self.layer4 = nn.Conv1d(3 * CHANNELS, POOLED, 1)
        self.torchmfcc = _mfcc() if front_end is None else front_end
        self.attention = nn.Sequential(
            nn.Conv1d(3 * POOLED, BOTTLENECK, 1),
            nn.ReLU(),
            nn.BatchNorm1d(BOTTLENECK),
            nn.Conv1d(BOTTLENECK, POOLED, 1),
        )

    def pooled(self, features: Tensor) -> Tensor:
        """sqrt(E_w[x^2]) and standard deviation under the attention weights w: features (B, 80, F) -> (B, 3072)."""
        frames = self.bn1(functional.relu(self.conv1(features)))
        first = self.layer1(frames)
        second = self.layer2(frames + first)
        third = self.layer3(frames + first + second)
        outputs = functional.relu(self.layer4(torch.cat((first, second, third), dim=1))).float()
        with single_precision(features):
            return power_and_deviation(*weighted_moments(outputs, torch.softmax(self._logits(outputs), dim=2)))

    def _logits(self, frames: Tensor) -> Tensor:
        """Attention to (frame, mean, standard deviation); the latter two are equal in all frames, so convolved once."""
        mean = frames.mean(dim=2, keepdim=True)
        deviation = frames.var(dim=2, keepdim=True).clamp(min=LEAST_VARIANCE).sqrt()
        for_frame, for_mean, for_deviation = self.get_parameter("attention.0.weight").chunk(3, dim=1)
        bias = self.get_parameter("attention.0.bias")
        context = functional.conv1d(mean, for_mean, bias) + functional.conv1d(deviation, for_deviation)
        logits: Tensor = self.attention[1:](functional.conv1d(frames, for_frame) + context)
        return logits


class ECAPA(FrozenNetwork, ECAPATrunk):
    """The trunk on MFCCs, batch norm and one linear layer."""

    kind = "ecapa"
    landmark = output = "fc6.weight"
    front_end = "torchmfcc"
    dimension = 256

    def build(self) -> None:
        """Add the layers behind the trunk."""
        self.bn5 = nn.BatchNorm1d(2 * POOLED)
        self.fc6 = nn.Linear(2 * POOLED, self.dimension)
        self.bn6 = nn.BatchNorm1d(self.dimension)  # in every checkpoint, and applied in none of the published code

    def features(self, waveforms: Tensor) -> Tensor:
        """MFCCs (B, 80, F) with zero mean over time."""
        with single_precision(waveforms):
            coefficients: Tensor = self.torchmfcc(waveforms) + FLOOR
            return coefficients - coefficients.mean(dim=2, keepdim=True)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        pooled = self.pooled(self.features(waveforms))
        with single_precision(waveforms):
            embeddings: Tensor = self.fc6(self.bn5(pooled))
            return embeddings


def _mfcc() -> nn.Sequential:
    mel = {"n_mels": COEFFICIENTS, "f_min": 20.0, "f_max": 7600.0, **SPECTRUM}
    mfcc = torchaudio.transforms.MFCC(sample_rate=16_000, n_mfcc=COEFFICIENTS, log_mels=True, melkwargs=mel)
    return nn.Sequential(PreEmphasis(), mfcc)
