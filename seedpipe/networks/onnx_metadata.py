"""What an ONNX file says of the input of its network, as sherpa-onnx's exporters write it: metadata by key.

``framework`` (``wespeaker``, ``3d-speaker``), ``sample_rate``, ``output_dim``, ``normalize_samples`` (1 for waveforms
in [-1, 1], 0 for the scale of 16-bit numbers) and ``feature_normalize_type`` (``global-mean``, or empty where the mean
over time stays). ``seedpipe_features`` is ours, in the graphs that ``seedpipe export onnx`` writes.

Source: sherpa-onnx, scripts/wespeaker/add_meta_data.py and scripts/3dspeaker/export-onnx.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seedpipe.errors import NetworkError
from seedpipe.networks.features import KaldiFilterBanks

FRAMEWORKS = {"wespeaker": "wespeaker", "3d-speaker": "3dspeaker", "3dspeaker": "3dspeaker"}
SHERPA = "sherpa"
WINDOWS = {"wespeaker": "hamming", "3dspeaker": "povey", SHERPA: "povey"}
FEATURES = ("waveform", *WINDOWS)
SCALES = {"waveform": 1.0, "wespeaker": 2.0**15, "3dspeaker": 1.0, SHERPA: 1.0}
OWN_KEY = "seedpipe_features"
SCALE_OF = {"1": 1.0, "0": 2.0**15}  # by normalize_samples
RATE = 16_000
RATES = range(4_000, 192_001)


@dataclass(frozen=True)
class NetworkInput:
    """What a network is given.

    Parameters
    ----------
    features : {'waveform', 'wespeaker', '3dspeaker', 'sherpa'}
        Waveforms (B, T), or filter banks (B, F, bins) as that toolkit, or sherpa-onnx, makes them.
    sample_rate : int
        Samples per second.
    scale : float
        Factor of waveforms in [-1, 1].
    centred : bool
        Whether the mean over time of filter banks is removed.
    output_dim : int, optional
        Dimension of the embeddings, where the file says it.
    """

    features: str
    sample_rate: int = RATE
    scale: float = 1.0
    centred: bool = True
    output_dim: int | None = None

    def __str__(self) -> str:
        samples = "16-bit scale" if self.scale > 1 else "scale 1"
        if self.features == "waveform":
            return f"waveforms of {self.sample_rate:,} Hz, {samples}"
        mean = "removed" if self.centred else "kept"
        window = WINDOWS[self.features].capitalize()
        return f"filter banks of {self.features} at {self.sample_rate:,} Hz: {window} window, {samples}, mean {mean}"

    def banks(self, bins: int) -> KaldiFilterBanks | None:
        """What makes the features of waveforms; None where these are waveforms."""
        if self.features not in WINDOWS:
            return None
        settings = {"centred": self.centred, "sherpa": self.features == SHERPA}
        return KaldiFilterBanks(bins, WINDOWS[self.features], self.scale, self.sample_rate, **settings)

    def key(self) -> str:
        """What of this counts towards a fingerprint; the toolkits' own at 16 kHz is their name alone."""
        usual = NetworkInput(self.features, scale=SCALES[self.features], output_dim=self.output_dim)
        return self.features if self == usual else f"{self.features}:{self.sample_rate}:{self.scale:g}:{self.centred}"


def network_input(
    metadata: Mapping[str, str], axes: int, features: str, sample_rate: int | None, path: Path
) -> NetworkInput:
    """Tell what a network is given from its metadata, and from arguments where it says nothing.

    Parameters
    ----------
    metadata : mapping of str to str
    axes : int
        Of the input: 2 for waveforms, 3 for filter banks.
    features : str
        As :class:`NetworkInput` has it; empty where it is not given.
    sample_rate : int, optional
    path : Path
        For messages.

    Raises
    ------
    NetworkError
        The metadata is not understood, or contradicts an argument; the features are unknown.
    """
    said = {name: value.strip() for name, value in metadata.items()}
    kind = _features(said, axes, features, path)
    rate = _number(said, "sample_rate", path)
    if rate is not None and sample_rate not in (None, rate):
        raise _contradiction(f"sample_rate={sample_rate}", f"sample_rate {rate}", path)
    rate = rate or sample_rate or RATE
    if rate not in RATES:
        raise NetworkError(f"takes {rate:,} samples per second", expected="4,000 to 192,000", file=path)
    normalised = said.get("normalize_samples", said.get("normalize_features"))  # what the script for WeSpeaker writes
    if normalised not in (None, *SCALE_OF):
        raise _not_understood("normalize_samples", normalised, "1 or 0", path)
    scale = SCALES[kind] if normalised is None else SCALE_OF[normalised]
    centred = said.get("feature_normalize_type", "global-mean")
    if centred not in ("", "global-mean"):
        raise _not_understood("feature_normalize_type", centred, "global-mean", path)
    return NetworkInput(kind, rate, scale, bool(centred), _number(said, "output_dim", path))


def _features(said: Mapping[str, str], axes: int, given: str, path: Path) -> str:
    if given and given not in FEATURES:
        raise NetworkError(f"cannot be given {given!r}", expected=f"one of {', '.join(FEATURES)}", file=path)
    own, framework = said.get(OWN_KEY, ""), said.get("framework", "")
    if own and own not in FEATURES:
        raise _not_understood(OWN_KEY, own, ", ".join(FEATURES), path)
    known = own or FRAMEWORKS.get(framework.lower())
    if own and given not in ("", own):
        raise _contradiction(f"features={given}", f"{OWN_KEY} {own}", path)
    if known and given not in ("", known, SHERPA):  # sherpa-onnx feeds the networks of both toolkits alike
        raise _contradiction(f"features={given}", f"framework {framework}", path)
    if given or known:
        return given or str(known)
    if axes == 2:
        return "waveform"
    if framework:
        raise _not_understood("framework", framework, "wespeaker or 3d-speaker", path)
    return "3dspeaker" if said.get("normalize_samples") == "1" else "wespeaker"


def _number(said: Mapping[str, str], name: str, path: Path) -> int | None:
    value = said.get(name)
    if value is not None and not (value.isdecimal() and value.isascii() and 0 < int(value[:10]) < 10**9):
        raise _not_understood(name, value, "a whole number", path)
    return None if value is None else int(value)


def _contradiction(argument: str, found: str, path: Path) -> NetworkError:
    return NetworkError(
        f"says {found} in its metadata", expected=f"what the argument {argument} says", remedy="leave it out", file=path
    )


def _not_understood(name: str, value: object, expected: str, path: Path) -> NetworkError:
    return NetworkError(
        f"says {name} {value!r} in its metadata",
        expected=expected,
        remedy="wrap the network as docs/networks.md shows for your own",
        file=path,
    )
