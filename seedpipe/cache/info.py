"""What a cache says of itself: the fields of ``manifest.json``, and the digest that guards them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from seedpipe.errors import CacheDamagedError, CacheError
from seedpipe.files import read_document

FORMAT = "seedpipe-cache-1"
MANIFEST = "manifest.json"
FAILURES = "failures.jsonl"
FILES = (MANIFEST, FAILURES, "shard-*.h5", ".*")
LONGEST = 2**16  # entries of an embedding: what is read from outside may claim any number
BYTES = {"float32": 4, "float16": 2}  # of a value
Hertz = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")]


class _Info(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NetworkInfo(_Info):
    """The network that made the embeddings."""

    name: str
    fingerprint: str
    dimension: int = Field(gt=0, le=LONGEST)
    sample_rate: int = Field(gt=0)
    self_test: tuple[float, ...] = ()
    """What it made of a synthetic signal, so that other numbers from another library version are noticed."""


class ShardInfo(_Info):
    """One shard: its file, its rows, the size and SHA-256 of the file, and what it was made from."""

    file: str = Field(pattern=r"^shard-\d{5,}\.h5$")
    rows: int = Field(gt=0)
    bytes: int = Field(gt=0, lt=2**63)
    sha256: str
    key: str
    """Digest of everything that the shard was made from; a later run keeps shards by it."""


class CacheInfo(_Info):
    """The contents of ``manifest.json``: provenance, then the list of shards."""

    format: Literal["seedpipe-cache-1"]
    kind: Literal["training", "evaluation"]
    network: NetworkInfo
    variants: tuple[str, ...] = Field(min_length=1)
    rows: int = Field(gt=0)
    utterances: int = Field(gt=0)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    """Seconds of audio in the source files; 0 where embeddings were imported."""
    synthetic: bool
    """Whether the speech is that of the synthetic demonstration corpus."""
    storage: Literal["float32", "float16"] = "float32"
    """How shards hold embeddings; readers get float32 from both."""
    skipped: int = 0
    """Utterances left out because their audio could not be used; ``failures.jsonl`` lists them."""
    resampled: dict[Hertz, int] = Field(default_factory=dict)
    """Sample rate of source files in Hz, as text, to the number of utterances that were resampled from it."""
    features: dict[str, int | str]
    """How crops are cut: ``crop_samples`` and ``draws`` (training) or ``crops`` (evaluation)."""
    augmentation: dict[str, Any]
    """Ranges of the recipes and digests of the manifests of noise, music and rooms."""
    seed: int
    audio: str
    """Digest of the speech manifest."""
    fingerprint: str
    """Digest of all of the above that decides the numbers."""
    versions: dict[str, str]
    shards: tuple[ShardInfo, ...] = Field(min_length=1)
    digest: str = ""
    """SHA-256 of all other fields; :func:`seedpipe.cache.publish` fills it in."""

    @model_validator(mode="after")
    def _check(self) -> CacheInfo:
        crops = self.features.get("crops")
        if self.kind == "evaluation" and not (isinstance(crops, int) and crops > 0):
            raise ValueError(f"an evaluation with a number of crops, not {crops!r}")
        return self


def sealed(info: CacheInfo) -> CacheInfo:
    """Fill in the digest."""
    return info.model_copy(update={"digest": _digest(info.model_dump(mode="json"))})


def manifest_bytes(info: CacheInfo) -> bytes:
    """The contents of ``manifest.json``."""
    return _bytes(info.model_dump(mode="json"))


def read_info(folder: Path) -> CacheInfo:
    """Read ``manifest.json`` and compare it with its digest.

    Raises
    ------
    CacheError
        There is none.
    CacheDamagedError
        It is of another format, or not what was written.
    """
    manifest = folder / MANIFEST
    try:
        data = read_document(manifest)
        info = CacheInfo.model_validate_json(data)
        raw = json.loads(data)
    except OSError as error:
        raise CacheError("there is no cache", remedy="run seedpipe extract", file=folder) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _damaged(manifest, f"{where}: {first['msg'].lower()}", FORMAT) from error
    except ValueError as error:  # of too many bytes, or a number of too many digits
        raise _damaged(manifest, f"cannot be read ({error})", FORMAT) from error
    # A bit may change the spelling of a number and not its value; hence the comparison with the bytes that we write.
    if info.digest != _digest(raw) or data != _bytes(raw):
        raise _damaged(manifest, "its contents do not have the digest that it states", "what seedpipe wrote")
    if sum(shard.rows for shard in info.shards) != info.rows:
        raise _damaged(manifest, f"the shards do not add up to {info.rows} rows")
    row = len(info.variants) * info.network.dimension * BYTES[info.storage]
    if claiming := next((shard for shard in info.shards if shard.rows * row > shard.bytes), None):
        found = f"{claiming.file} has {claiming.bytes:,} bytes and {claiming.rows:,} rows of {row:,}"
        raise _damaged(manifest, found)
    return info


def _bytes(raw: dict[str, Any]) -> bytes:
    return (json.dumps(raw, indent=1, ensure_ascii=False) + "\n").encode()


def _digest(raw: dict[str, Any]) -> str:
    others = {name: value for name, value in raw.items() if name != "digest"}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(manifest: Path, found: str, expected: str = "") -> CacheDamagedError:
    return CacheDamagedError(found, expected=expected, remedy="extract the cache again", file=manifest)
