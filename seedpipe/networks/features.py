"""Kaldi's log mel filter banks of a whole batch, on any device.

Source: compute-fbank-feats of Kaldi without dither, as WeSpeaker and 3D-Speaker feed their networks; those of
sherpa-onnx are its csrc/features.h (``high_freq=-400``, ``snip_edges=false``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.compliance import kaldi

from seedpipe.networks.layers import single_precision

RATE = 16_000
FRAME_MS, HOP_MS = 25.0, 10.0
FRAME, HOP = 400, 160  # samples of these at 16 kHz
LOWEST = 20.0  # Hz
MARGIN = 400.0  # Hz below half the sampling rate that sherpa-onnx leaves out
PRE_EMPHASIS = 0.97
WINDOWS = {
    "hamming": lambda frame: torch.hamming_window(frame, periodic=False),
    "povey": lambda frame: torch.hann_window(frame, periodic=False).pow(0.85),
}


class KaldiFilterBanks(nn.Module):
    """Waveforms (B, T) float32 -> log mel powers (B, F, bins), by default without their mean over time.

    F = 1 + (T - frame) // hop, at 16 kHz 1 + (T - 400) // 160: frames that stick out are left out. For sherpa-onnx,
    F = (T + hop // 2) // hop: the waveform is mirrored at its ends. Equal to ``torchaudio.compliance.kaldi.fbank`` of
    each row; the numbers of a row do not depend on the other rows.

    Parameters
    ----------
    bins : int
        Mel bands from 20 Hz to half the sampling rate.
    window : {'povey', 'hamming'}
    scale : float
        Factor of the waveform, 32,768 for networks that were trained on 16-bit numbers.
    rate : int
        Samples per second.
    centred : bool
        Whether the mean over time of each band is removed (``subtract_mean``).
    sherpa : bool
        As sherpa-onnx computes them: bands end 400 Hz below half the sampling rate, frames are centred.
    """

    def __init__(
        self,
        bins: int = 80,
        window: str = "povey",
        scale: float = 1.0,
        rate: int = RATE,
        *,
        centred: bool = True,
        sherpa: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.centred, self.sherpa = scale, centred, sherpa
        self.frame, self.hop = int(rate * FRAME_MS * 0.001), int(rate * HOP_MS * 0.001)
        self.spectrum = 1 << (self.frame - 1).bit_length()
        self.window: Tensor
        self.bank: Tensor
        highest = -MARGIN if sherpa else 0.0  # from half the sampling rate
        bank, _ = kaldi.get_mel_banks(bins, self.spectrum, rate, LOWEST, highest, 100.0, -500.0, 1.0)
        self.register_buffer("window", WINDOWS[window](self.frame), persistent=False)
        # The bank has no column for the highest frequency.
        self.register_buffer("bank", functional.pad(bank, (0, 1)), persistent=False)

    def shortest(self, frames: int) -> int:
        """Least T for so many frames."""
        return self.hop * frames - self.hop // 2 if self.sherpa else self.frame + self.hop * (frames - 1)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Log mel powers of a batch.

        Parameters
        ----------
        waveforms : Tensor, shape (B, T)
            T is one frame of 25 ms or more.

        Returns
        -------
        Tensor, shape (B, F, bins)
        """
        with single_precision(waveforms):
            waveforms = self._mirrored(waveforms) if self.sherpa else waveforms
            frames = (waveforms.float() * self.scale).unfold(1, self.frame, self.hop)
            frames = frames - frames.mean(dim=2, keepdim=True)
            before = torch.cat((frames[:, :, :1], frames[:, :, :-1]), dim=2)
            spectrum = torch.fft.rfft((frames - PRE_EMPHASIS * before) * self.window, n=self.spectrum)
            power = spectrum.real.square() + spectrum.imag.square()
            # One product of one shape for each row: a product over all rows may sum in another order for another B.
            mels = torch.bmm(power, self.bank.t().expand(len(power), -1, -1))
            logs = mels.clamp(min=torch.finfo(torch.float32).eps).log()
            return logs - logs.mean(dim=1, keepdim=True) if self.centred else logs

    def _mirrored(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) with what comes before and behind them in centred frames."""
        mirror, samples = waveforms.flip(1), waveforms.shape[1]
        frames = (samples + self.hop // 2) // self.hop
        before = self.frame // 2 - self.hop // 2
        behind = (frames - 1) * self.hop + self.frame - before - samples
        return torch.cat((mirror[:, samples - before :], waveforms, mirror[:, :behind]), dim=1)
