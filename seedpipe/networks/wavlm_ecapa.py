"""WavLM-ECAPA: a small ECAPA-TDNN on the weighted hidden states of WavLM Base+, 256-d (192-d in the SEED paper).

State-dict compatible with the speaker verification models of microsoft/UniSpeech.

Source: Chen et al., "Large-scale self-supervised speech representation learning for automatic speaker verification",
ICASSP 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seedpipe.networks.layers import FrozenNetwork, res2_convolutions, res2_layers, single_precision, weighted_moments
from seedpipe.networks.wavlm import LAYERS, WIDTH, WavLM

CHANNELS = 512
POOLED = 1536
BOTTLENECK = 128
FLOOR = 1e-6
LEAST_VARIANCE = 1e-9


class _Conv(nn.Module):
    """Convolution, ReLU, batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, frames: Tensor) -> Tensor:
        normalised: Tensor = self.bn(functional.relu(self.conv(frames)))
        return normalised


class _Res2Conv(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.convs, self.bns = res2_layers(channels, dilation)

    def forward(self, frames: Tensor) -> Tensor:
        return res2_convolutions(frames, self.convs, self.bns)


class _Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, BOTTLENECK)
        self.linear2 = nn.Linear(BOTTLENECK, channels)

    def forward(self, frames: Tensor) -> Tensor:
        gates: Tensor = self.linear2(functional.relu(self.linear1(frames.mean(dim=2)))).sigmoid()
        return frames * gates.unsqueeze(2)


class _Block(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        # Names of the checkpoints.
        self.Conv1dReluBn1 = _Conv(channels, channels)
        self.Res2Conv1dReluBn = _Res2Conv(channels, dilation)
        self.Conv1dReluBn2 = _Conv(channels, channels)
        self.SE_Connect = _Gate(channels)

    def forward(self, frames: Tensor) -> Tensor:
        inner = self.Conv1dReluBn2(self.Res2Conv1dReluBn(self.Conv1dReluBn1(frames)))
        gated: Tensor = self.SE_Connect(inner) + frames
        return gated


class _Pooling(nn.Module):
    """Attentive statistics: frames (B, C, F) -> weighted mean and standard deviation (B, 2 C)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Conv1d(POOLED, BOTTLENECK, 1)
        self.linear2 = nn.Conv1d(BOTTLENECK, POOLED, 1)

    def forward(self, frames: Tensor) -> Tensor:
        weights = torch.softmax(self.linear2(torch.tanh(self.linear1(frames))), dim=2)
        mean, power = weighted_moments(frames, weights)
        return torch.cat((mean, (power - mean.square()).clamp(min=LEAST_VARIANCE).sqrt()), dim=1)


class _Upstream(nn.Module):
    """Gives WavLM the place that it has in the checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.model = WavLM()


class WavLMECAPA(FrozenNetwork):
    """ECAPA-TDNN on the weighted hidden states of WavLM Base+."""

    kind = "wavlm_ecapa"
    landmark, output = "feature_weight", "linear.weight"
    dimension = 256
    min_samples = 720  # two frames of WavLM: one has no variance over time

    def build(self) -> None:
        """Add the layers."""
        self.feature_weight = nn.Parameter(torch.zeros(LAYERS + 1))
        self.feature_extract = _Upstream()
        self.layer1 = _Conv(WIDTH, CHANNELS, kernel=5)
        self.layer2 = _Block(CHANNELS, dilation=2)
        self.layer3 = _Block(CHANNELS, dilation=3)
        self.layer4 = _Block(CHANNELS, dilation=4)
        self.conv = nn.Conv1d(3 * CHANNELS, POOLED, 1)
        self.pooling = _Pooling()
        self.bn = nn.BatchNorm1d(2 * POOLED)
        self.linear = nn.Linear(2 * POOLED, self.dimension)

    def features(self, waveforms: Tensor) -> Tensor:
        """Weighted hidden states with zero mean and unit variance over time: waveforms (B, T) -> (B, 768, F)."""
        shares = self.feature_weight.softmax(dim=0)
        hidden = self.feature_extract.model(waveforms)
        mixed = sum(share * state.float() for share, state in zip(shares, hidden, strict=True))
        with single_precision(waveforms):
            return functional.instance_norm(mixed.transpose(1, 2) + FLOOR)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        first = self.layer1(self.features(waveforms))
        second = self.layer2(first)
        third = self.layer3(second)
        fourth = self.layer4(third)
        frames = functional.relu(self.conv(torch.cat((second, third, fourth), dim=1)))
        with single_precision(waveforms):
            embeddings: Tensor = self.linear(self.bn(self.pooling(frames.float())))
            return embeddings
