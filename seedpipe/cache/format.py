"""What a cache looks like on disk: the fields of ``manifest.json`` and the datasets of a shard.

This is the only module that opens HDF5. Datasets are contiguous, so that HDF5 says where they lie (:class:`Extent`)
and numpy reads them there.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypeAlias, cast

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from seedpipe.errors import CacheDamagedError, CacheError, SeedpipeError, counted
from seedpipe.files import OutputKind, digest_of, read_document

FORMAT = "seedpipe-cache-1"
MANIFEST = "manifest.json"
FAILURES = "failures.jsonl"
LONGEST = 2**16  # entries of an embedding: what is read from outside may claim any number
LEAST_ENTRY, MOST_ENTRY = 1e-10, 1e15
"""Of the largest entry of an embedding: float32 tells the direction of any such one, whose squares add up in it."""
BYTES = {"float32": 4, "float16": 2}  # of a value
LIBVER = ("earliest", "v110")
ROW_COLUMNS = ("utterance", "speaker", "draw", "crop_start")
RECIPE_COLUMNS = ("noise", "noise_offset", "snr_db", "rir")
NAMES = "variants"
Extents = dict[str, "Extent"]
CacheKind: TypeAlias = Literal["training", "evaluation"]
"""Pairs to train on, or the crops of lists to score."""
Number = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")]


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
    kind: CacheKind
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
    resampled: dict[Number, int] = Field(default_factory=dict)
    """Sample rate of source files in Hz, as text, to the number of utterances that were resampled from it."""
    averaged: dict[Number, int] = Field(default_factory=dict)
    """Number of channels, as text, to the number of utterances that are their mean; not written where it is empty."""
    features: dict[str, int | str]
    """How crops are cut: ``crop_samples`` and ``draws`` (training) or ``crops`` (evaluation), and
    ``test_crop_samples`` where the test side has a crop of its own."""
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
        for what, names in (("variant", self.variants), ("shard", [shard.file for shard in self.shards])):
            if twice := next((name for name, count in Counter(names).items() if count > 1), None):
                raise ValueError(f"names the {what} {twice} twice")
        crops = self.features.get("crops")
        if self.kind == "evaluation" and not (isinstance(crops, int) and crops > 0):
            raise ValueError(f"an evaluation with a number of crops, not {crops!r}")
        return self

    @property
    def test_crops(self) -> int:
        """Of the rows of each utterance, how many at the end are the test side's alone: 1 in a cache of short tests."""
        return int(self.kind == "evaluation" and "test_crop_samples" in self.features)

    @property
    def rows_per_utterance(self) -> int:
        """Rows of each utterance in an evaluation cache: its crops, and the one of the test side behind them."""
        return int(self.features["crops"]) + self.test_crops


def manifest_bytes(info: CacheInfo) -> bytes:
    """The contents of ``manifest.json``, with its digest filled in."""
    raw = info.model_dump(mode="json", exclude=None if info.averaged else {"averaged"})
    return _bytes(raw | {"digest": digest_of(raw)})


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
    except (FileNotFoundError, NotADirectoryError) as error:
        near, model = _caches_near(folder), (folder / "config.json").exists()
        raise CacheError(
            "is a model" if model else "there is no cache",
            expected=f"a cache, as {' or '.join(near)}" if near else "a cache" if model else "",
            remedy="give a cache in its place" if model else "run seedpipe extract",
            file=folder,
        ) from error
    except OSError as error:
        raise _damaged(manifest, f"cannot be read ({error.strerror or error})", FORMAT) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _damaged(manifest, f"{where}: {first['msg'].lower()}", FORMAT) from error
    except ValueError as error:  # of too many bytes, or a number of too many digits
        raise _damaged(manifest, f"cannot be read ({error})", FORMAT) from error
    # A bit may change the spelling of a number and not its value; hence the comparison with the bytes that we write.
    if info.digest != digest_of(raw) or data != _bytes(raw):
        raise _damaged(manifest, "its contents do not have the digest that it states", "what seedpipe wrote")
    if sum(shard.rows for shard in info.shards) != info.rows:
        raise _damaged(manifest, f"the shards do not add up to {counted(info.rows, 'row')}")
    row = len(info.variants) * info.network.dimension * BYTES[info.storage]
    if claiming := next((shard for shard in info.shards if shard.rows * row > shard.bytes), None):
        found = f"{claiming.file} has {counted(claiming.bytes, 'byte')} and {counted(claiming.rows, 'row')} of {row:,}"
        raise _damaged(manifest, found)
    return info


def _caches_near(folder: Path) -> list[str]:
    """A few caches in a folder, or else beside the first part of its path that is missing."""
    missing = next((path for path in (folder.parent, folder) if not path.exists()), folder)
    for place in (folder, missing.parent):
        found = sorted({path.parent for depth in ("*", "*/*") for path in place.glob(f"{depth}/{MANIFEST}")})
        found = [path for path in found if path.suffix != ".finished"]
        if found:
            return [str(path) for path in found[:3]]
    return []


def _own_files(folder: Path) -> set[str]:
    """The files of a cache; all its shards must be there."""
    shards = [shard.file for shard in read_info(folder).shards]
    lacking = [name for name in shards if not (folder / name).is_file()]
    if lacking:
        raise CacheDamagedError(f"names {lacking[0]}, which is not there")
    return {MANIFEST, FAILURES, *shards}


OUTPUT = OutputKind("cache", MANIFEST, CacheError, _own_files)
"""How a cache is told from other folders before it is replaced."""


def _bytes(raw: dict[str, Any]) -> bytes:
    return (json.dumps(raw, indent=1, ensure_ascii=False) + "\n").encode()


def _damaged(manifest: Path, found: str, expected: str = "") -> CacheDamagedError:
    return CacheDamagedError(found, expected=expected, remedy="extract the cache again", file=manifest)


@dataclass(frozen=True)
class Shard:
    """The contents of one shard.

    Parameters
    ----------
    embeddings : ndarray of float32 or float16, shape (R, V, D)
    variants : sequence of str, length V
    columns : dict
        ``utterance``, ``speaker`` (str), ``draw``, ``crop_start`` (int), shape (R,); ``noise``, ``rir`` (str),
        ``noise_offset`` (int), ``snr_db`` (float32), shape (R, V).
    key : str
        Digest of everything that the shard was made from.
    """

    embeddings: NDArray[np.float32] | NDArray[np.float16]
    variants: Sequence[str]
    columns: dict[str, NDArray[Any]]
    key: str


@dataclass(frozen=True)
class Extent:
    """Where a dataset lies in the file of a shard."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def read(self, source: NDArray[np.uint8] | BinaryIO, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows of the dataset, of the bytes of its shard (not copied) or of its open file."""
        rows, entries = (self.shape[0] if stop is None else stop) - start, math.prod(self.shape[1:])
        shape, offset = (rows, *self.shape[1:]), self.offset + start * entries * self.dtype.itemsize
        if isinstance(source, np.ndarray):
            return np.frombuffer(source, self.dtype, rows * entries, offset).reshape(shape)
        values = np.empty(shape, self.dtype)
        source.seek(offset)
        if source.readinto(values.reshape(-1).view(np.uint8).data) != values.nbytes:  # type: ignore[attr-defined]
            raise EOFError("the file ends within a row")
        return values


def to_bytes(shard: Shard) -> bytes:
    """The file of a shard, built in memory; equal contents give equal bytes."""
    with h5py.File("shard", "w", driver="core", backing_store=False, libver=LIBVER) as file:
        file.attrs["format"] = FORMAT
        file.attrs["key"] = shard.key
        embeddings = file.create_dataset("embeddings", data=shard.embeddings, track_times=False)
        embeddings.attrs["variants"] = list(shard.variants)
        for name in (*ROW_COLUMNS, *RECIPE_COLUMNS):
            file.create_dataset(name, data=_encoded(shard.columns[name]), track_times=False)
        file.create_dataset(NAMES, data=_encoded(np.array(shard.variants)), track_times=False)
        file.flush()
        image: bytes = file.id.get_file_image()
        return image


def extents(file: BinaryIO) -> Extents:
    """Where the datasets of a shard lie, by name, from its open file: HDF5 neither locks it nor opens another.

    Attributes are not read: HDF5 keeps texts of any length in a heap, and hangs on some damaged ones.

    Raises
    ------
    OSError, KeyError, ValueError, TypeError, RuntimeError
        The bytes are no shard.
    """
    with h5py.File(file, "r") as shard:
        names = ("embeddings", *ROW_COLUMNS, *RECIPE_COLUMNS, *([NAMES] if NAMES in shard else []))
        return {name: _extent(name, shard) for name in names}


def _extent(name: str, shard: h5py.File) -> Extent:
    if not isinstance(shard.get(name, getlink=True), h5py.HardLink):  # other links may lead to other files
        raise ValueError(f"{name} is not in this file")
    dataset = shard[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} is no dataset")
    offset = dataset.id.get_offset()
    if offset is None:
        raise ValueError(f"{name} is not contiguous")
    return Extent(offset, dataset.dtype, dataset.shape)


def _encoded(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "U":
        return values
    encoded = np.char.encode(values, "utf-8")
    return encoded.astype(h5py.string_dtype("utf-8", max(1, encoded.dtype.itemsize)))


def expect_real(values: object, name: str, error: type[SeedpipeError]) -> None:
    """Refuse arrays of which float32 would keep a part: masks go without a word, imaginary parts with a warning.

    Raises
    ------
    SeedpipeError
        Of the type ``error``.
    """
    expect_unmasked(values, name, error)
    is_complex = getattr(values, "is_complex", None)  # of a tensor
    if is_complex() if is_complex else np.iscomplexobj(cast("Any", values)):
        raise error(f"{name} are complex numbers", expected="real ones", remedy="take .real or the absolute values")


def expect_unmasked(values: object, name: str, error: type[SeedpipeError]) -> None:
    """Refuse masked arrays alone, for those who convert the rest by other means."""
    if isinstance(values, np.ma.MaskedArray):
        remedy = "leave masked rows out, or say what stands there with .filled(value)"
        raise error(f"{name} are a masked array", expected="a plain array, as masks would be ignored", remedy=remedy)
