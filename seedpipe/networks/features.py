"""Kaldi's log mel filter banks of a whole batch, on any device.

Source: compute-fbank-feats of Kaldi without dither, as WeSpeaker and 3D-Speaker feed their networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.compliance import kaldi

from seedpipe.networks.layers import single_precision

RATE = 16_000
FRAME, HOP, SPECTRUM = 400, 160, 512  # samples: 25 ms, 10 ms, and the length of the Fourier transform
LOWEST = 20.0  # Hz
PRE_EMPHASIS = 0.97
WINDOWS = {
    "hamming": lambda: torch.hamming_window(FRAME, periodic=False),
    "povey": lambda: torch.hann_window(FRAME, periodic=False).pow(0.85),
}


class KaldiFilterBanks(nn.Module):
    """Waveforms (B, T) float32 at 16 kHz -> log mel powers (B, F, bins) without their mean over time.

    F = 1 + (T - 400) // 160: frames that stick out are left out. Equal to ``torchaudio.compliance.kaldi.fbank`` of each
    row with ``subtract_mean=True``; the numbers of a row do not depend on the other rows.

    Parameters
    ----------
    bins : int
        Mel bands from 20 Hz to 8 kHz.
    window : {'povey', 'hamming'}
    scale : float
        Factor of the waveform, 32,768 for networks that were trained on 16-bit numbers.
    """

    def __init__(self, bins: int = 80, window: str = "povey", scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.window: Tensor
        self.bank: Tensor
        bank, _ = kaldi.get_mel_banks(bins, SPECTRUM, RATE, LOWEST, 0.0, 100.0, -500.0, 1.0)
        self.register_buffer("window", WINDOWS[window](), persistent=False)
        # The bank has no column for the highest frequency.
        self.register_buffer("bank", functional.pad(bank, (0, 1)), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Log mel powers of a batch.

        Parameters
        ----------
        waveforms : Tensor, shape (B, T)
            T is 400 or more.

        Returns
        -------
        Tensor, shape (B, F, bins)
        """
        with single_precision(waveforms):
            frames = (waveforms.float() * self.scale).unfold(1, FRAME, HOP)
            frames = frames - frames.mean(dim=2, keepdim=True)
            before = torch.cat((frames[:, :, :1], frames[:, :, :-1]), dim=2)
            spectrum = torch.fft.rfft((frames - PRE_EMPHASIS * before) * self.window, n=SPECTRUM)
            power = spectrum.real.square() + spectrum.imag.square()
            # One product of one shape for each row: a product over all rows may sum in another order for another B.
            mels = torch.bmm(power, self.bank.t().expand(len(power), -1, -1))
            logs = mels.clamp(min=torch.finfo(torch.float32).eps).log()
            return logs - logs.mean(dim=1, keepdim=True)
