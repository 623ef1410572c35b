"""What the paper's speaker networks share: the frozen module, pre-emphasis and statistics pooling.

Shapes: B waveforms, T samples, F frames, C channels, D embedding dimension.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar, Self

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

COEFFICIENT = 0.97
COUNTER = "num_batches_tracked"
STATISTICS = ("running_mean", "running_var", COUNTER)  # the buffers that are learnt
FLOOR = 1e-6  # added to mel powers before the logarithm
LEAST_VARIANCE = 1e-4
SCALE = 8  # parts of the channels in a Res2Net block
SPECTRUM = {"n_fft": 512, "win_length": 400, "hop_length": 160, "window_fn": torch.hamming_window}


class FrozenNetwork(nn.Module):
    """Waveforms (B, T) float32 in [-1, 1] at 16 kHz -> embeddings (B, D); for inference alone, so without gradients.

    A subclass says its ``kind``, its marks in a checkpoint, ``min_samples`` and the ``dimension`` of the published
    network, adds layers in :meth:`build` and embeds in ``forward``. Layers that it shares with others come from a
    trunk, its second base.

    Parameters
    ----------
    dimension : int, optional
        D; that of the published network by default.
    seed : int
        Of the random weights that it is made with.

    Attributes
    ----------
    kind : str
        Architecture. This one and the next four are class attributes.
    landmark : str
        An entry of its checkpoints that those of no other kind have.
    output : str
        The entry whose rows are the dimensions of the embedding.
    output_rows : int
        Rows for each dimension.
    front_end : str
        The layer that makes features of waveforms; empty where the first layers are learnt.
    name, sample_rate, dimension, min_samples
        See :class:`seedpipe.networks.SpeakerNetwork`.
    """

    kind: ClassVar[str] = ""
    landmark: ClassVar[str]
    output: ClassVar[str]
    output_rows: ClassVar[int] = 1
    front_end: ClassVar[str] = ""
    sample_rate = 16_000
    dimension: int
    min_samples: int

    def __init__(self, dimension: int | None = None, seed: int = 0) -> None:
        # torch's own initialisers draw; the generator of the process is as before afterwards.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            super().__init__()
            self.name = self.kind
            self.dimension = dimension or self.dimension
            self.build()
        self.eval().requires_grad_(False)

    def build(self) -> None:
        """Add the layers; the same ones in the same order, or a seed gives other weights."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in eval mode, also inside a module that is trained or exported."""
        return super().train(False)

    def fingerprint(self) -> str:
        """Digest of the kind of network and of every weight; its name and place do not count."""
        return fingerprint(self.kind, self)


def fingerprint(kind: str, module: nn.Module) -> str:
    """SHA-256 over a kind and the names, shapes and values of everything that was learnt.

    Windows and filter banks are left out: they follow from the kind, and their last bits from the processor. Counters
    of training batches decide no number.
    """
    digest = hashlib.sha256(kind.encode())
    state = module.state_dict()
    for name in sorted(state.keys() - computed_entries(module)):
        if not name.endswith(COUNTER):
            value = state[name].detach().cpu().contiguous()
            digest.update(f"\n{name} {tuple(value.shape)} {value.dtype}\n".encode())
            digest.update(value.numpy())
    return digest.hexdigest()


def computed_entries(module: nn.Module) -> set[str]:
    """Names of the entries that a module computes: windows, filters and filter banks."""
    return {name for name, _ in module.named_buffers() if not name.endswith(STATISTICS)}


def single_precision(tensor: Tensor) -> torch.autocast:
    """Switch autocast off for the device of a tensor: features and statistics lose too much in half precision."""
    return torch.autocast(tensor.device.type, enabled=False)


class PreEmphasis(nn.Module):
    """y[n] = x[n] - 0.97 x[n - 1], where x[-1] is x[1] (reflected): waveforms (B, T) -> (B, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.flipped_filter: Tensor
        self.register_buffer("flipped_filter", torch.tensor([[[-COEFFICIENT, 1.0]]]))

    def forward(self, waveforms: Tensor) -> Tensor:
        """Filter a batch."""
        padded = functional.pad(waveforms.unsqueeze(1), (1, 0), mode="reflect")
        return functional.conv1d(padded, self.flipped_filter).squeeze(1)


def mel_spectrogram(mels: int) -> nn.Sequential:
    """Pre-emphasis, then mel powers of 25 ms Hamming windows every 10 ms: waveforms (B, T) -> (B, mels, F)."""
    return nn.Sequential(
        PreEmphasis(), torchaudio.transforms.MelSpectrogram(sample_rate=16_000, n_mels=mels, **SPECTRUM)
    )


def normalised_log_mel(front_end: nn.Sequential, waveforms: Tensor) -> Tensor:
    """Log mel powers with zero mean and unit variance over time: waveforms (B, T) -> (B, mels, F)."""
    with single_precision(waveforms):
        return functional.instance_norm((front_end(waveforms) + FLOOR).log())


def res2_layers(channels: int, dilation: int) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Convolutions and batch norms for :func:`res2_convolutions`, on all eighths of the channels but the last one."""
    width = channels // SCALE
    convs = (nn.Conv1d(width, width, 3, dilation=dilation, padding=dilation) for _ in range(SCALE - 1))
    return nn.ModuleList(convs), nn.ModuleList(nn.BatchNorm1d(width) for _ in range(SCALE - 1))


def res2_convolutions(frames: Tensor, convs: nn.ModuleList, norms: nn.ModuleList) -> Tensor:
    """Convolve one part of the channels after the other, each together with the result of the one before.

    Parameters
    ----------
    frames : Tensor, shape (B, C, F)
        Cut in one part more than there are convolutions; the last part stays as it is.
    convs, norms : ModuleList
        Convolutions and batch norms, with a ReLU between them.

    Returns
    -------
    Tensor, shape (B, C, F)
    """
    parts = list(frames.chunk(len(convs) + 1, dim=1))
    for index, (conv, norm) in enumerate(zip(convs, norms, strict=True)):
        inputs = parts[index] + parts[index - 1] if index else parts[0]
        parts[index] = norm(functional.relu(conv(inputs)))
    return torch.cat(parts, dim=1)


def weighted_moments(frames: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """First and second moment over time under attention weights.

    Parameters
    ----------
    frames : Tensor, shape (B, C, F)
    weights : Tensor, shape (B, C, F)
        They sum to 1 over F.

    Returns
    -------
    mean, power : Tensor, shape (B, C)
        E_w[x] and E_w[x^2].
    """
    weighted = frames * weights
    return weighted.sum(dim=2), (weighted * frames).sum(dim=2)


def standard_deviation(mean: Tensor, power: Tensor) -> Tensor:
    """Standard deviation, 0.01 at least, from the first two moments."""
    return (power - mean.square()).clamp(min=LEAST_VARIANCE).sqrt()


def power_and_deviation(mean: Tensor, power: Tensor) -> Tensor:
    """sqrt(E_w[x^2]) and the standard deviation, 0.01 at least, side by side: twice (B, C) -> (B, 2 C)."""
    return torch.cat((power.clamp(min=LEAST_VARIANCE).sqrt(), standard_deviation(mean, power)), dim=1)
