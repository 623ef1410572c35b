"""A network, perhaps with an enhancer behind it, as one callable on waveforms.

Shapes: B waveforms, T samples, D embedding dimension.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from seedpipe.enhancers.audio import expect_network
from seedpipe.enhancers.base import EmbeddingEnhancer
from seedpipe.enhancers.registry import load_enhancer
from seedpipe.errors import NetworkError
from seedpipe.files import StrPath
from seedpipe.networks import load_network


class Embedder:
    """Waveforms (B, T) float32 in [-1, 1] -> embeddings (B, D) float32 on the CPU, enhanced where there is a model.

    Parameters
    ----------
    network : str
        See :func:`seedpipe.networks.load_network`.
    model : str, PathLike or EmbeddingEnhancer, optional
        An enhancer, or its folder; it must be for this network.
    device : str or torch.device

    Attributes
    ----------
    sample_rate : int
        Samples per second.
    dimension : int
        D.
    min_samples : int
        Shortest waveform.

    Raises
    ------
    NetworkError
        The network is unknown, or not that of the model.
    ModelError
        There is no model.
    """

    def __init__(
        self, network: str, model: StrPath | EmbeddingEnhancer | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.network = load_network(network).to(self.device)
        self.enhancer = model if isinstance(model, EmbeddingEnhancer) or model is None else load_enhancer(Path(model))
        if self.enhancer is not None:
            expect_network(self.enhancer, network)
        self.sample_rate, self.dimension = self.network.sample_rate, self.network.dimension
        self.min_samples = self.network.min_samples

    def to(self, device: str | torch.device) -> Embedder:
        """Move the network."""
        self.device = torch.device(device)
        self.network = self.network.to(self.device)
        return self

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Embed waveforms of one length.

        Raises
        ------
        NetworkError
            They are no batch, or shorter than ``min_samples``.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] < self.min_samples:
            raise NetworkError(
                f"waveforms have the shape {tuple(waveforms.shape)}",
                expected=f"(waveforms, samples), with {self.min_samples} samples or more",
            )
        with torch.inference_mode():
            embeddings = self.network(waveforms.detach().to(self.device, torch.float32)).cpu()
            return embeddings if self.enhancer is None else self.enhancer(embeddings)
