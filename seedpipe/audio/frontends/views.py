"""One network on two views of the same audio: as it is, and cleaned by a front end."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from seedpipe.audio.frontends import load_frontend
from seedpipe.errors import FrontendError
from seedpipe.networks import load_network

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class TwoViews:
    """Waveforms (B, T) -> embeddings (B, 2D): those of a network for the audio and for the cleaned audio, side by side.

    Both have unit length, so that the cosine of two rows is the mean of the cosines of the views. One row of a cache
    thus holds both views of one crop under the same noise, and an enhancer can learn which one to believe in which
    direction. Each crop is cleaned by itself.

    Parameters
    ----------
    network : str
        As :func:`seedpipe.networks.load_network` takes it; D is its dimension.
    frontend : str
        As :func:`seedpipe.audio.frontends.load_frontend` takes it.

    Raises
    ------
    FrontendError
        There is no front end of this name, or it is ``none``.
    NetworkError
        The network cannot be loaded.
    """

    def __init__(self, network: str, frontend: str = "rnnoise") -> None:
        self._network = load_network(network)
        self.sample_rate, self.min_samples = self._network.sample_rate, self._network.min_samples
        self.dimension = 2 * self._network.dimension
        cleaned = load_frontend(frontend, self.sample_rate)
        if cleaned is None:
            raise FrontendError("two views of one kind", expected="a front end", remedy="name one, such as rnnoise")
        self._frontend = cleaned
        self.name = f"{self._network.name}-{cleaned.name}"

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Embed a batch."""
        import torch
        from torch.nn import functional

        views = [self._network(waveforms), self._network(self._frontend(waveforms))]
        return torch.cat([functional.normalize(view, dim=1) for view in views], dim=1)

    def fingerprint(self) -> str:
        """Digest of both."""
        return hashlib.sha256(f"{self._network.fingerprint()} {self._frontend.fingerprint()}".encode()).hexdigest()

    def to(self, device: torch.device) -> TwoViews:
        """Move the weights."""
        self._network, self._frontend = self._network.to(device), self._frontend.to(device)
        return self
