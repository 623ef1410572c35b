"""SpeechBrain: network and enhancer where a ``SpeakerRecognition`` stands. Needs no package of SpeechBrain's.

Shapes: B waveforms, T samples, D embedding dimension.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from seedpipe.audio.decode import read_audio
from seedpipe.enhancers.base import EmbeddingEnhancer
from seedpipe.errors import NetworkError
from seedpipe.files import StrPath
from seedpipe.integrations.embedder import Embedder


class Decision(NamedTuple):
    """What SpeechBrain gives of two recordings: a score, and whether it is above the threshold."""

    score: Tensor
    prediction: Tensor


class SpeakerRecognition:
    """What SpeechBrain's class of this name is asked for.

    Parameters
    ----------
    network, model, device
        As for :class:`seedpipe.integrations.Embedder`.
    """

    def __init__(
        self, network: str, model: StrPath | EmbeddingEnhancer | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self._embedder = Embedder(network, model, device)
        self.sample_rate, self.device = self._embedder.sample_rate, str(self._embedder.device)

    def load_audio(self, path: StrPath) -> Tensor:
        """One file at the rate of the network, shape (T,)."""
        return torch.from_numpy(read_audio(path, self.sample_rate))

    def encode_batch(self, wavs: Tensor, wav_lens: Tensor | None = None, *, normalize: bool = False) -> Tensor:
        """Embed waveforms (B, T), or one (T,), into (B, 1, D).

        Parameters
        ----------
        wavs : Tensor
        wav_lens : Tensor, shape (B,), optional
            Length of each, relative to the longest: what follows is padding, and not heard.
        normalize : bool
            Taken for the sake of callers, and refused: the normalisation of a training set of SpeechBrain is not known.
        """
        if normalize:
            raise NetworkError("normalize=True is not known here", expected="False", remedy="leave it out")
        batch = wavs[None] if wavs.ndim == 1 else wavs
        if wav_lens is None:
            return self._embedder(batch)[:, None]
        if wav_lens.shape != batch.shape[:1]:
            raise NetworkError(f"wav_lens have the shape {tuple(wav_lens.shape)}", expected=f"({len(batch)},)")
        lengths = (wav_lens * batch.shape[1]).round().long().tolist()
        rows = [self._embedder(wav[None, :length]) for wav, length in zip(batch, lengths, strict=True)]
        return torch.stack(rows)

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """Cosine of embeddings along their last axis."""
        return functional.cosine_similarity(first, second, dim=-1, eps=1e-6)

    def verify_batch(
        self,
        wavs1: Tensor,
        wavs2: Tensor,
        wav1_lens: Tensor | None = None,
        wav2_lens: Tensor | None = None,
        *,
        threshold: float,
    ) -> Decision:
        """Compare waveforms side by side; scores and decisions have the shape (B, 1).

        SpeechBrain has a threshold of 0.25 by default, that of its own networks; here it must be given.
        """
        score = self.similarity(self.encode_batch(wavs1, wav1_lens), self.encode_batch(wavs2, wav2_lens))
        return Decision(score, score > threshold)

    def verify_files(self, path_x: StrPath, path_y: StrPath, *, threshold: float) -> Decision:
        """Compare two files; score and decision have the shape (1,)."""
        score, prediction = self.verify_batch(
            self.load_audio(path_x)[None], self.load_audio(path_y)[None], threshold=threshold
        )
        return Decision(score[0], prediction[0])
