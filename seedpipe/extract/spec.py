"""What an extraction is made of: the rows of a manifest, the settings, and the provenance that follows from them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seedpipe import cache
from seedpipe.audio import Manifest, read_manifest
from seedpipe.audio.frontends import load_frontend
from seedpipe.audio.manifest import BANKS
from seedpipe.errors import NetworkError
from seedpipe.extract.embed import one_thread
from seedpipe.networks import SpeakerNetwork, load_network
from seedpipe.params import ExtractParams, split_condition

__all__ = ["DECIDING", "Kind", "Row", "Setting", "bank_files", "describe", "digest_of"]

Kind = Literal["training", "evaluation"]
DECIDING = ("format", "kind", "network", "variants", "features", "storage", "augmentation", "seed", "audio")
"""Fields of the provenance that decide the numbers."""


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance of the manifest: a file, or a segment of one."""

    utterance: str
    path: Path
    digest: str
    speaker: str
    start_frame: int
    frames: int


@dataclass(frozen=True)
class Setting:
    """All that a worker needs besides the rows; hashable, so that each worker builds its tools once."""

    network: str
    device: str
    manifests: Path
    kind: Kind
    params: ExtractParams
    work: Path
    """Folder of the work in progress, where the decoded banks are."""
    batch: int = 256
    """Waveforms mixed ahead of the network."""
    config: str = ""
    """Digest of everything but the speech: other noise in the same files needs other tools."""

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants, ``clean`` first."""
        noisy = self.params.variants if self.kind == "training" else self.params.evaluation.conditions
        return ("clean", *noisy)

    @property
    def whole(self) -> bool:
        """Whether the network gets whole utterances instead of crops."""
        return self.kind == "evaluation" and Path(self.network).name in self.params.evaluation.whole

    @property
    def crops(self) -> int:
        """Crops of each utterance, and so its rows in the cache."""
        if self.whole:
            return 1
        return self.params.draws if self.kind == "training" else self.params.evaluation.crops

    @property
    def crop_samples(self) -> int:
        """Length of a crop; 0 for whole utterances."""
        if self.whole:
            return 0
        return self.params.crop_samples if self.kind == "training" else self.params.evaluation.crop_samples

    @property
    def seed(self) -> int:
        """Seed of crops and recipes."""
        return self.params.seed if self.kind == "training" else self.params.evaluation.seed

    def rate(self, network: SpeakerNetwork) -> int | None:
        """The rate to which audio is resampled; None for none."""
        return network.sample_rate if self.params.resample else None

    @property
    def utterances_per_shard(self) -> int:
        """Whole utterances of one shard."""
        return max(1, self.params.shard_rows // self.crops)


def describe(setting: Setting, speech: Manifest) -> dict[str, Any]:
    """Provenance of the cache to be, all but its rows and shards.

    Raises
    ------
    NetworkError
        The network is unknown or takes no crops of this length.
    ManifestError
        A manifest of noise, music or rooms is unusable.
    """
    network = load_network(setting.network)
    if not setting.whole and network.min_samples > setting.crop_samples:
        raise NetworkError(
            f"crops have {setting.crop_samples} samples",
            expected=f"{network.min_samples} or more for the network {network.name}",
            remedy="raise crop_samples in params.yaml",
        )
    files = bank_files(setting.variants)
    if setting.device == "cpu" and setting.params.precision == "float16":
        raise NetworkError(
            "arithmetic in float16 is many times slower than in float32 on a CPU",
            expected="bfloat16 or float32",
            remedy="set extract.precision",
        )
    banks = {part: read_manifest(setting.manifests / name).digest() for part, name in files.items()}
    frontend = load_frontend(setting.params.frontend, network.sample_rate)
    info: dict[str, Any] = {
        "format": cache.FORMAT,
        "kind": setting.kind,
        "network": cache.NetworkInfo(
            name=network.name,
            fingerprint=network.fingerprint(),
            dimension=network.dimension,
            sample_rate=network.sample_rate,
            self_test=_self_test(network),
        ),
        "variants": setting.variants,
        "features": {
            "crop_samples": setting.crop_samples,
            "draws" if setting.kind == "training" else "crops": setting.crops,
            "shard_rows": setting.params.shard_rows,
            "precision": setting.params.precision,
            "resample": "yes" if setting.params.resample else "no",
            "short_audio": setting.params.evaluation.short_audio,
            "frontend": f"{setting.params.frontend} {frontend.fingerprint()}" if frontend else "",
        },
        "storage": setting.params.storage,
        "augmentation": setting.params.augment.model_dump(mode="json") | {"files": banks},
        "seed": setting.seed,
        "synthetic": speech.synthetic,
        "audio": speech.digest(),
        "seconds": round(speech.seconds, 3),
        "resampled": _resampled(speech, network.sample_rate) if setting.params.resample else {},
        "versions": _versions(),
    }
    return info | {"fingerprint": digest_of(info)}


def digest_of(info: dict[str, Any], *, audio: bool = True) -> str:
    """Digest of the provenance that decides the numbers, with or without the speech itself."""
    deciding = {name: info[name] for name in DECIDING if audio or name != "audio"}
    # The self-test is compared with a tolerance instead: its last digits follow the processor.
    deciding["network"] = info["network"].model_dump(exclude={"self_test"})
    return hashlib.sha256(json.dumps(deciding, sort_keys=True, default=str).encode()).hexdigest()


def bank_files(variants: Iterable[str]) -> dict[str, str]:
    """Manifests of the noise, music and rooms that the variants need, by part."""
    parts = {part for name in variants for part in split_condition(name)[0].split("+")}
    return {part: name for part, name in BANKS.items() if part in parts}


def _self_test(network: SpeakerNetwork) -> tuple[float, ...]:
    from seedpipe.networks import self_test

    with one_thread():
        return tuple(self_test(network))


def _resampled(speech: Manifest, wanted: int) -> dict[str, int]:
    return {str(rate): count for rate, count in speech.sample_rates().items() if rate != wanted}


def _versions() -> dict[str, str]:
    return {
        name: importlib.metadata.version(name) for name in ("seedpipe", "torch", "torchaudio", "numpy", "soundfile")
    }
