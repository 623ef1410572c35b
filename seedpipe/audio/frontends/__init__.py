"""Front ends: speech enhancers that clean the waveform before the speaker network, a baseline of the paper's Table 2.

A front end maps waveforms (B, T) to cleaned waveforms (B, T) that are aligned with them in time. Third parties register
a factory in the entry-point group ``seedpipe.frontends`` or name it ``package.module:factory``; it is called with the
sample rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from seedpipe.errors import FrontendError
from seedpipe.networks.registry import Plugins

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Frontend", "frontend_names", "load_frontend"]

BUILT_IN = {
    "denoiser": "seedpipe.audio.frontends.denoiser:dns64",
    "denoiser-master64": "seedpipe.audio.frontends.denoiser:master64",
    "rnnoise": "seedpipe.audio.frontends.rnnoise:RNNoise",
}
NONE = "none"
PLUGINS = Plugins("front end", FrontendError, "seedpipe.frontends", BUILT_IN)


@runtime_checkable
class Frontend(Protocol):
    """What a front end must be: the same input gives the same output, whatever it was called with before.

    Attributes
    ----------
    name : str
        Short name for tables and folders.
    sample_rate : int
        Samples per second of what it takes and gives: that of the speaker network behind it.
    """

    name: str
    sample_rate: int

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) float32 in [-1, 1] -> cleaned waveforms (B, T) float32, not delayed against them."""

    def fingerprint(self) -> str:
        """Digest of weights and settings: equal digests mean equal waveforms."""

    def to(self, device: torch.device) -> Frontend:
        """Move the weights."""


def frontend_names() -> list[str]:
    """Names that :func:`load_frontend` knows: built in, then registered by installed packages."""
    return PLUGINS.names()


def load_frontend(spec: str, sample_rate: int) -> Frontend | None:
    """Make a front end, ready for use on the CPU.

    Parameters
    ----------
    spec : str
        One of :func:`frontend_names`, or ``package.module:factory``; ``none`` or nothing for no front end.
    sample_rate : int
        Samples per second of the speaker network.

    Returns
    -------
    Frontend or None

    Raises
    ------
    FrontendError
        The front end is unknown, its weights are missing, or it cannot be imported, fails, or is no front end.
    MissingExtraError
        The front end needs a package that is not installed.
    """
    if spec in ("", NONE):
        return None
    if not PLUGINS.knows(spec):
        known = ", ".join(frontend_names())
        raise FrontendError(
            f"unknown front end {spec!r}",
            expected=f"{NONE}, {known} or package.module:factory",
            remedy="see docs/frontends.md",
        )
    frontend = PLUGINS.make(spec, sample_rate)
    if not isinstance(frontend, Frontend):
        raise FrontendError(
            f"{spec!r} makes a {type(frontend).__name__}",
            expected="name, sample_rate, __call__, fingerprint and to",
            remedy="see seedpipe.audio.frontends.Frontend",
        )
    if frontend.sample_rate != sample_rate:
        raise FrontendError(
            f"the front end {spec!r} takes {frontend.sample_rate} samples per second",
            expected=f"{sample_rate}, the rate of the network",
            remedy="resample inside the front end",
        )
    return frontend
