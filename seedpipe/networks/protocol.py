"""What a speaker network must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@runtime_checkable
class SpeakerNetwork(Protocol):
    """What a network must be: what it gives for a row does not depend on the other rows.

    Attributes
    ----------
    name : str
        Short name for tables and folders.
    sample_rate : int
        Samples per second of its input.
    dimension : int
        D, length of an embedding.
    min_samples : int
        Shortest waveform it takes.
    """

    name: str
    sample_rate: int
    dimension: int
    min_samples: int

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) float32 in [-1, 1] -> embeddings (B, D) float32."""

    def fingerprint(self) -> str:
        """Digest of weights and settings: equal digests mean equal embeddings."""

    def to(self, device: torch.device) -> SpeakerNetwork:
        """Move the weights."""
