"""ResNet34 with squeeze-and-excitation and attentive statistics pooling (H/ASP): 64 log mels -> 512-d.

State-dict compatible with ``ResNetSE34V2`` of clovaai/voxceleb_trainer and of the SEED and DRL authors.

Source: Heo et al., "Clova baseline system for the VoxCeleb speaker recognition challenge 2020", arXiv:2009.14153.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seedpipe.networks.layers import (
    FrozenNetwork,
    mel_spectrogram,
    normalised_log_mel,
    single_precision,
    standard_deviation,
    weighted_moments,
)

MELS = 64
STAGES = ((3, 32, 1), (4, 64, 2), (6, 128, 2), (3, 256, 2))  # blocks, channels, stride of the first block
REDUCTION = 8


class _SqueezeExcitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // REDUCTION
        self.fc = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, maps: Tensor) -> Tensor:
        gates: Tensor = self.fc(maps.mean(dim=(2, 3)))
        return maps * gates[:, :, None, None]


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; ReLU comes before the first batch norm."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = _SqueezeExcitation(channels)
        self.downsample: nn.Module | None = None
        if inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = maps if self.downsample is None else self.downsample(maps)
        inner = self.bn1(functional.relu(self.conv1(maps), inplace=True))
        gated: Tensor = self.se(self.bn2(self.conv2(inner)))
        return functional.relu(gated.add_(shortcut), inplace=True)


class ResNet34Trunk(nn.Module):
    """Waveforms (B, T) to pooled moments: all of the network but its last linear layer."""

    min_samples = 257  # the spectrogram reflects 256 samples at either end

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, STAGES[0][1], 3, padding=1)
        self.bn1 = nn.BatchNorm2d(STAGES[0][1])
        inputs = STAGES[0][1]
        for number, (blocks, channels, stride) in enumerate(STAGES, start=1):
            first = _Block(inputs, channels, stride)
            self.add_module(
                f"layer{number}", nn.Sequential(first, *(_Block(channels, channels, 1) for _ in range(1, blocks)))
            )
            inputs = channels
        self.torchfb = mel_spectrogram(MELS)
        self.channels = inputs * MELS // 8
        self.attention = nn.Sequential(
            nn.Conv1d(self.channels, 128, 1), nn.ReLU(), nn.BatchNorm1d(128), nn.Conv1d(128, self.channels, 1)
        )

    def moments(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """E_w[x] and E_w[x^2], each (B, 2048), under the attention weights w."""
        maps = self.conv1(normalised_log_mel(self.torchfb, waveforms).unsqueeze(1))
        if maps.device.type == "cpu":  # a fifth faster; on a GPU it was not measured
            maps = maps.contiguous(memory_format=torch.channels_last)
        maps = self.bn1(functional.relu(maps, inplace=True))
        for number in range(1, len(STAGES) + 1):
            maps = self.get_submodule(f"layer{number}")(maps)
        with single_precision(waveforms):
            frames = maps.float().flatten(1, 2)
            return weighted_moments(frames, torch.softmax(self.attention(frames), dim=2))


class ResNet34(FrozenNetwork, ResNet34Trunk):
    """The trunk, and one linear layer on mean and standard deviation."""

    kind = "resnet34"
    landmark, output = "layer4.0.conv1.weight", "fc.weight"
    front_end = "torchfb"
    dimension = 512

    def build(self) -> None:
        """Add the layer behind the trunk."""
        self.fc = nn.Linear(2 * self.channels, self.dimension)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        mean, power = self.moments(waveforms)
        with single_precision(waveforms):
            embeddings: Tensor = self.fc(torch.cat((mean, standard_deviation(mean, power)), dim=1))
            return embeddings
