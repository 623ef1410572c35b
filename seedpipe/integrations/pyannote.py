"""pyannote.audio: enhanced embeddings in a diarization pipeline. Extra ``pyannote``.

The protocol is that of ``pyannote.audio.pipelines.speaker_verification``. Shapes: B chunks, T samples, F frames of a
mask, D embedding dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seedpipe.enhancers.base import EmbeddingEnhancer
from seedpipe.errors import MissingExtraError, NetworkError, install
from seedpipe.files import StrPath
from seedpipe.integrations.embedder import Embedder

try:
    from pyannote.audio import Audio
    from pyannote.audio.core.inference import BaseInference
except ImportError as error:
    raise MissingExtraError("pyannote.audio is not installed", remedy=install("pyannote")) from error


class SpeakerEmbedding(BaseInference):  # type: ignore[misc]
    """Speaker embeddings as a pipeline of pyannote.audio asks for them.

    Parameters
    ----------
    network, model, device
        As for :class:`seedpipe.integrations.Embedder`.

    Attributes
    ----------
    sample_rate, dimension : int
    metric : str
        ``cosine``.
    min_num_samples : int
        Shortest speech; less of it gives NaN, which pipelines know.
    """

    metric = "cosine"

    def __init__(
        self, network: str, model: StrPath | EmbeddingEnhancer | None = None, device: str | torch.device = "cpu"
    ) -> None:
        super().__init__()
        self._embedder = Embedder(network, model, device)
        self.sample_rate, self.dimension = self._embedder.sample_rate, self._embedder.dimension
        self.min_num_samples = self._embedder.min_samples

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._embedder.device

    def to(self, device: torch.device) -> SpeakerEmbedding:
        """Move the network."""
        self._embedder.to(device)
        return self

    def __call__(self, waveforms: Tensor, masks: Tensor | None = None) -> NDArray[np.float32]:
        """Embed chunks, or what is speech of them.

        Parameters
        ----------
        waveforms : Tensor, shape (B, 1, T)
        masks : Tensor, shape (B, F), optional
            Above 0.5 where the speaker speaks, at any number of frames for T samples.

        Returns
        -------
        ndarray of float32, shape (B, D)
            NaN where there is too little speech.
        """
        if waveforms.ndim != 3 or waveforms.shape[1] != 1 or (masks is not None and len(masks) != len(waveforms)):
            shapes = tuple(waveforms.shape), None if masks is None else tuple(masks.shape)
            raise NetworkError(f"waveforms and masks have the shapes {shapes}", expected="(B, 1, T) and (B, F)")
        signals = waveforms[:, 0]
        spoken = torch.ones_like(signals) if masks is None else _stretched(masks, signals.shape[1])
        result = np.full((len(signals), self.dimension), np.nan, np.float32)
        for row, (signal, mask) in enumerate(zip(signals, spoken > 0.5, strict=True)):
            speech = signal[mask.to(signal.device)]
            if len(speech) >= self.min_num_samples:
                result[row] = self._embedder(speech[None])[0].numpy()
        return result

    def use_in(self, pipeline: Any) -> Any:
        """Have a ``SpeakerDiarization`` pipeline take its embeddings from here; gives the pipeline."""
        pipeline._embedding = self
        pipeline._audio = Audio(sample_rate=self.sample_rate, mono="downmix")
        return pipeline


def _stretched(masks: Tensor, samples: int) -> Tensor:
    return functional.interpolate(masks[:, None].float(), size=samples, mode="nearest")[:, 0]
