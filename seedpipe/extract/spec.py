"""What an extraction is made of: the settings, and the provenance that follows from them and the manifests."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedpipe import cache
from seedpipe.audio import Manifest, read_manifest
from seedpipe.audio.frontends import load_frontend
from seedpipe.audio.manifest import BANKS
from seedpipe.audio.rooms import any_late
from seedpipe.cache import CacheKind
from seedpipe.errors import NetworkError
from seedpipe.extract.embed import BLOCK, fixed_arithmetic
from seedpipe.networks import SpeakerNetwork, load_network, self_test
from seedpipe.networks.engine import Engine, own_engine
from seedpipe.params import AugmentParams, Channel, ExtractParams, split_condition

DECIDING = ("format", "kind", "network", "variants", "features", "storage", "augmentation", "seed", "audio")
"""Fields of the provenance that decide the numbers."""
UNIT_WAVEFORMS = {"cpu": 4 * BLOCK, "cuda": 64 * BLOCK}  # of a unit of work, at least
VERSIONS = ("seedpipe", "torch", "torchaudio", "numpy", "soundfile")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance of the manifest: a file, or a segment of one."""

    name: str
    path: Path
    digest: str
    speaker: str
    start_frame: int
    frames: int
    channel: Channel = "mean"


@dataclass(frozen=True)
class ExtractionSpec:
    """What is made of every utterance; hashable and small, as workers get it with each shard and build tools for it."""

    network: str
    device: str
    manifests: Path
    kind: CacheKind
    params: ExtractParams
    work: Path
    """Folder of the work in progress, where the decoded banks are."""
    batch: int = 256
    """Waveforms mixed ahead of the network."""
    config: str = ""
    """Digest of everything but the speech: other noise in the same files needs other tools."""

    @property
    def training(self) -> bool:
        """Whether crops are random, or else evenly spaced."""
        return self.kind == "training"

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants, ``clean`` first."""
        return ("clean", *(self.params.variants if self.training else self.params.evaluation.conditions))

    @property
    def whole(self) -> bool:
        """Whether the network gets whole utterances instead of crops."""
        return not self.training and Path(self.network).name in self.params.evaluation.whole

    @property
    def engine(self) -> Engine:
        """What runs the network; graphs are for blocks of one shape."""
        return "eager" if self.whole else self.params.engine

    @property
    def crops(self) -> int:
        """Crops of each utterance, without the one of the test side."""
        return 1 if self.whole else self.params.draws if self.training else self.params.evaluation.crops

    @property
    def crop_samples(self) -> int:
        """Length of a crop; 0 for whole utterances."""
        return 0 if self.whole else (self.params if self.training else self.params.evaluation).crop_samples

    @property
    def test_crop_samples(self) -> int:
        """Length of the one crop that the test side has for itself; 0 where it has those of the enrolment side."""
        return 0 if self.training else self.params.evaluation.test_crop_samples

    @property
    def rows(self) -> int:
        """Rows of each utterance in the cache: its crops, and the one of the test side behind them."""
        return self.crops + bool(self.test_crop_samples)

    @property
    def augment(self) -> AugmentParams:
        """Ranges of the recipes."""
        return self.params.augment if self.training else self.params.evaluation_augment

    @property
    def seed(self) -> int:
        """Seed of crops and recipes."""
        return (self.params if self.training else self.params.evaluation).seed

    @property
    def skips(self) -> bool:
        """Whether utterances that cannot be used are left out."""
        return self.params.on_bad_audio == "skip"

    @property
    def utterances_per_shard(self) -> int:
        """Whole utterances of one shard."""
        return max(1, self.params.shard_rows // self.rows)

    @property
    def utterances_per_unit(self) -> int:
        """Whole utterances of one unit of work: a few blocks, the last of which are filled as well as may be."""
        variants = len(self.variants)
        least = -(-UNIT_WAVEFORMS[self.device] // (self.rows * variants))
        # Of each utterance, the waveforms of one length and that length.
        lengths = ((self.crops * variants, self.crop_samples or 1), (variants, self.test_crop_samples))

        def computed(utterances: int) -> float:
            blocks = sum(-(-utterances * waveforms // BLOCK) * samples for waveforms, samples in lengths)
            return blocks / utterances

        return least if self.whole else min(range(least, 4 * least + 1), key=computed)

    def key_of(self, utterances: Iterable[Utterance]) -> str:
        """Digest of all that embeddings are made from; it keeps those of a GPU apart."""
        lines = (
            f"{u.name}\t{u.digest}\t{u.start_frame}\t{u.frames}\t{u.speaker}"
            + ("" if u.channel == "mean" else f"\t{u.channel}")
            for u in utterances
        )
        device = () if self.device == "cpu" else (self.device,)
        return hashlib.sha256("\n".join([self.config, *device, *lines]).encode()).hexdigest()


def describe(spec: ExtractionSpec, speech: Manifest) -> dict[str, Any]:
    """Provenance of the cache to be, all but its rows and shards."""
    params, network = spec.params, load_network(spec.network)
    _check(spec, network)
    banks = {part: read_manifest(spec.manifests / name) for part, name in bank_files(spec.variants).items()}
    files = {part: manifest.digest() for part, manifest in banks.items()}
    engine = own_engine(network, spec.engine)
    with fixed_arithmetic():
        numbers = tuple(self_test(network))
    rates = speech.sample_rates() if params.resample else {}
    versions = VERSIONS if engine == "eager" else (*VERSIONS, engine)
    info: dict[str, Any] = {
        "format": cache.FORMAT,
        "kind": spec.kind,
        "network": cache.NetworkInfo(
            name=network.name,
            fingerprint=network.fingerprint(),
            dimension=network.dimension,
            sample_rate=network.sample_rate,
            self_test=numbers,
        ),
        "variants": spec.variants,
        "features": _features(spec, network, engine),
        "storage": params.storage,
        "augmentation": spec.augment.model_dump(mode="json") | {"files": files} | _rooms(spec, network, speech, banks),
        "seed": spec.seed,
        "synthetic": speech.synthetic,
        "audio": speech.digest(),
        "seconds": round(speech.seconds, 3),
        "resampled": {str(rate): count for rate, count in rates.items() if rate != network.sample_rate},
        "averaged": {str(channels): count for channels, count in speech.averaged().items()},
        "versions": {name: importlib.metadata.version(name) for name in versions},
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


def _check(spec: ExtractionSpec, network: SpeakerNetwork) -> None:
    """Refuse what the network or the device cannot do."""
    lengths = {"crop_samples": 0 if spec.whole else spec.crop_samples, "test_crop_samples": spec.test_crop_samples}
    for name, samples in lengths.items():
        if 0 < samples < network.min_samples:
            raise NetworkError(
                f"crops have {samples} samples",
                expected=f"{network.min_samples} or more for the network {network.name}",
                remedy=f"raise {name} in params.yaml",
            )
    if spec.device == "cpu" and spec.params.precision == "float16":
        raise NetworkError(
            "arithmetic in float16 is many times slower than in float32 on a CPU",
            expected="bfloat16 or float32",
            remedy="set extract.precision",
        )
    if spec.engine != "eager" and (spec.device != "cpu" or spec.params.precision != "float32"):
        raise NetworkError(
            f"the engine {spec.engine} was to compute in {spec.params.precision} on {spec.device}",
            expected="float32 on cpu",
            remedy="set extract.engine: eager",
        )


def _rooms(
    spec: ExtractionSpec, network: SpeakerNetwork, speech: Manifest, banks: Mapping[str, Manifest]
) -> dict[str, str]:
    """That rooms are aligned and of unit energy in what is used, where one is late or longer than the speech.

    For all other rooms the numbers are those of the authors' way, so a cache that does not speak of it has either.
    """
    if spec.params.rooms == "official" or "reverb" not in banks:
        return {}
    room, own = banks["reverb"].frame, not spec.params.resample
    longest = room["frames"].max() if own else room["seconds"].max() * network.sample_rate
    shortest = speech.frame["frames"].min() if own else speech.frame["seconds"].min() * network.sample_rate
    long = longest >= (spec.crop_samples if spec.training else shortest)
    return {"rooms": "aligned"} if long or any_late(room) else {}


def _features(spec: ExtractionSpec, network: SpeakerNetwork, engine: Engine) -> dict[str, int | str]:
    params = spec.params
    frontend = load_frontend(params.frontend, network.sample_rate)
    features: dict[str, int | str] = {
        "crop_samples": spec.crop_samples,
        "draws" if spec.training else "crops": spec.crops,
        "shard_rows": params.shard_rows,
        "precision": params.precision,
        "resample": "yes" if params.resample else "no",
        "short_audio": params.evaluation.short_audio,
        "frontend": f"{params.frontend} {frontend.fingerprint()}" if frontend else "",
    }
    # What a cache does not speak of is as it was before these were there: eager, and one length for both sides.
    own: dict[str, int | str] = {"test_crop_samples": spec.test_crop_samples, "engine": engine}
    return features | {name: value for name, value in own.items() if value not in (0, "eager")}
