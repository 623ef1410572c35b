"""The embedding cache: a folder of HDF5 shards and a ``manifest.json``; this is the only module that opens HDF5.

``docs/cache-format.md`` is normative. A shard appears whole or not at all (partial file, fsync, rename, fsync of the
folder), the manifest last; a reader compares every byte that it uses with the digests in the manifest.

Shapes: R rows, V variants (the first is ``clean``), D embedding dimension.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seedpipe.errors import CacheDamagedError, CacheError, CacheMismatchError
from seedpipe.files import publish_folder, whole_file

if TYPE_CHECKING:
    import torch

__all__ = [
    "FILES",
    "FORMAT",
    "Cache",
    "CacheInfo",
    "NetworkInfo",
    "Shard",
    "ShardInfo",
    "finished_shard",
    "open_cache",
    "publish",
    "shard_name",
    "write_shard",
]

FORMAT = "seedpipe-cache-1"
MANIFEST = "manifest.json"
FILES = (MANIFEST, "failures.jsonl", "shard-*.h5", ".*")
LIBVER = ("earliest", "v110")
ROW_COLUMNS = ("utterance", "speaker", "draw", "crop_start")
RECIPE_COLUMNS = ("noise", "noise_offset", "snr_db", "rir")


@dataclass(frozen=True)
class Shard:
    """The contents of one shard.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (R, V, D)
    variants : sequence of str, length V
    columns : dict
        ``utterance``, ``speaker`` (str), ``draw``, ``crop_start`` (int), shape (R,); ``noise``, ``rir`` (str),
        ``noise_offset`` (int), ``snr_db`` (float32), shape (R, V).
    key : str
        Digest of everything that the shard was made from.
    """

    embeddings: NDArray[np.float32]
    variants: Sequence[str]
    columns: dict[str, NDArray[Any]]
    key: str


class _Info(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NetworkInfo(_Info):
    """The network that made the embeddings."""

    name: str
    fingerprint: str
    dimension: int = Field(gt=0)
    sample_rate: int = Field(gt=0)


class ShardInfo(_Info):
    """One shard: its file, its rows, and the size and SHA-256 of the file."""

    file: str = Field(pattern=r"^shard-\d{5,}\.h5$")
    rows: int = Field(gt=0)
    bytes: int = Field(gt=0)
    sha256: str


class _ShardNote(_Info):
    """Stands beside a finished shard until the cache is published, so that a later run can trust it."""

    key: str
    shard: ShardInfo


class CacheInfo(_Info):
    """The contents of ``manifest.json``: provenance, then the list of shards."""

    format: Literal["seedpipe-cache-1"]
    kind: Literal["training", "evaluation"]
    network: NetworkInfo
    variants: tuple[str, ...] = Field(min_length=1)
    rows: int = Field(gt=0)
    utterances: int = Field(gt=0)
    seconds: float
    """Seconds of audio in the source files."""
    synthetic: bool
    """Whether the speech is that of the synthetic demonstration corpus."""
    skipped: int = 0
    """Utterances left out because their audio could not be used; ``failures.jsonl`` lists them."""
    features: dict[str, int]
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


class Cache:
    """A finished cache, opened with :func:`open_cache`.

    Attributes
    ----------
    path : Path
    info : CacheInfo
    """

    def __init__(self, path: Path, info: CacheInfo) -> None:
        self.path, self.info = path, info

    def __repr__(self) -> str:
        info = self.info
        shape = f"{info.rows:,} rows x {len(info.variants)} variants ({', '.join(info.variants)})"
        return f"<Cache {self.path}: {shape} x {info.network.dimension}-d, network {info.network.name}, {info.kind}>"

    def __len__(self) -> int:
        return self.info.rows

    def expect(self, *, network: NetworkInfo | None = None, kind: str | None = None) -> Cache:
        """Refuse a cache of another network or kind.

        Raises
        ------
        CacheMismatchError
            The text names the field that differs.
        """
        if kind is not None and kind != self.info.kind:
            raise self._mismatch("kind", self.info.kind, kind)
        if network is not None:
            for field in ("name", "dimension", "fingerprint"):
                found, expected = getattr(self.info.network, field), getattr(network, field)
                if found != expected:
                    raise self._mismatch(f"network {field}", found, expected)
        return self

    def to_numpy(self) -> NDArray[np.float32]:
        """Read all embeddings, shape (R, V, D), float32, after comparing the digest of every shard."""
        info = self.info
        out = np.empty((info.rows, len(info.variants), info.network.dimension), dtype=np.float32)
        start = 0
        for shard, file in self._shards():
            with self._readable(shard):
                file["embeddings"].read_direct(out, dest_sel=np.s_[start : start + shard.rows])
            start += shard.rows
        return out

    def to_torch(self, device: str | torch.device = "cpu") -> torch.Tensor:
        """Read all embeddings into one tensor, shape (R, V, D)."""
        import torch

        return torch.from_numpy(self.to_numpy()).to(device)

    def frame(self) -> pd.DataFrame:
        """Row columns as a table: utterance, speaker, draw, crop_start, and ``noise:VARIANT`` and so on per variant."""
        parts = []
        for shard, file in self._shards():
            with self._readable(shard):
                columns = {name: _column(file[name]) for name in ROW_COLUMNS}
                for name in RECIPE_COLUMNS:
                    values = _column(file[name])
                    columns |= {f"{name}:{variant}": values[:, v] for v, variant in enumerate(self.info.variants) if v}
                parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def verify(self) -> None:
        """Compare every shard with its digest and look for values that are not finite.

        Raises
        ------
        CacheDamagedError
            A shard is missing, differs from what was written or holds values that are not finite.
        """
        for shard, file in self._shards():
            with self._readable(shard):
                if not np.isfinite(file["embeddings"][:]).all():
                    raise self._damaged(shard, "holds values that are not finite")

    def _shards(self) -> Iterator[tuple[ShardInfo, h5py.File]]:
        for shard in self.info.shards:
            path = self.path / shard.file
            if not path.is_file():
                raise self._damaged(shard, "is missing")
            if path.stat().st_size != shard.bytes:
                raise self._damaged(shard, f"has {path.stat().st_size} bytes instead of {shard.bytes}")
            if _sha256(path) != shard.sha256:
                raise self._damaged(shard, "does not have the digest in manifest.json")
            with h5py.File(path, "r") as file:
                yield shard, file

    @contextlib.contextmanager
    def _readable(self, shard: ShardInfo) -> Iterator[None]:
        try:
            yield
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise self._damaged(shard, f"cannot be read ({error})") from error

    def _damaged(self, shard: ShardInfo, what: str) -> CacheDamagedError:
        return CacheDamagedError(what, remedy="extract the cache again", file=self.path / shard.file)

    def _mismatch(self, field: str, found: object, expected: object) -> CacheMismatchError:
        return CacheMismatchError(
            f"{field} is {found!r}",
            expected=repr(expected),
            remedy="extract the cache with the wanted network, or use the model that was trained for this one",
            file=self.path / MANIFEST,
        )


def open_cache(path: Path | str) -> Cache:
    """Open a finished cache; its embeddings are read and checked when asked for.

    Raises
    ------
    CacheError
        There is no cache, or its manifest is of another format or inconsistent.
    """
    path = Path(path)
    manifest = path / MANIFEST
    try:
        info = CacheInfo.model_validate_json(manifest.read_bytes())
    except OSError as error:
        raise CacheError("there is no cache", remedy="run seedpipe extract", file=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CacheDamagedError(
            f"{where}: {first['msg'].lower()}", expected=FORMAT, remedy="extract the cache again", file=manifest
        ) from error
    if sum(shard.rows for shard in info.shards) != info.rows:
        raise CacheDamagedError(f"the shards do not add up to {info.rows} rows", remedy="extract again", file=manifest)
    return Cache(path, info)


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.h5"


def write_shard(path: Path, shard: Shard) -> ShardInfo:
    """Write a shard whole or not at all; equal contents give equal bytes.

    Returns
    -------
    ShardInfo
        Size and digest of the file, which are also noted beside it for :func:`finished_shard`.

    Raises
    ------
    CacheError
        An embedding is not finite; the text names the utterance.
    """
    finite = np.isfinite(shard.embeddings).all(axis=2)
    if not finite.all():
        row, variant = np.argwhere(~finite)[0]
        utterance = shard.columns["utterance"][row]
        raise CacheError(
            f"the network gave values that are not finite for {utterance} ({shard.variants[variant]})",
            remedy="listen to the utterance, check the network",
        )
    with whole_file(path) as partial:
        with h5py.File(partial, "w", libver=LIBVER) as file:
            file.attrs["format"] = FORMAT
            file.attrs["key"] = shard.key
            embeddings = file.create_dataset("embeddings", data=shard.embeddings, track_times=False)
            embeddings.attrs["variants"] = list(shard.variants)
            for name in (*ROW_COLUMNS, *RECIPE_COLUMNS):
                _write_column(file, name, shard.columns[name])
        size, sha256 = partial.stat().st_size, _sha256(partial)
    info = ShardInfo(file=path.name, rows=len(shard.embeddings), bytes=size, sha256=sha256)
    with whole_file(_note(path)) as partial:
        partial.write_text(_ShardNote(key=shard.key, shard=info).model_dump_json(), encoding="utf-8")
    return info


def finished_shard(path: Path, key: str) -> ShardInfo | None:
    """What an earlier run noted of a shard, if it was made from the same things and its bytes are still those."""
    try:
        note = _ShardNote.model_validate_json(_note(path).read_bytes())
        return note.shard if note.key == key and _sha256(path) == note.shard.sha256 else None
    except (OSError, ValidationError):
        return None


def publish(work: Path, out: Path, info: CacheInfo) -> Cache:
    """Make a work folder the cache: write its manifest last, then put the folder in the place of an older cache."""
    wanted = {"failures.jsonl"} | {shard.file for shard in info.shards}
    for path in work.iterdir():
        if path.name not in wanted:
            path.unlink()  # notes beside the shards, partial files of a killed run
    with whole_file(work / MANIFEST) as partial:
        partial.write_text(
            json.dumps(info.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    publish_folder(work, out)
    return open_cache(out)


def _write_column(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    if values.dtype.kind == "U":
        encoded = np.char.encode(values, "utf-8")
        width = max(1, encoded.dtype.itemsize)
        values = encoded.astype(h5py.string_dtype("utf-8", width))
    file.create_dataset(name, data=values, track_times=False)


def _column(dataset: h5py.Dataset) -> NDArray[Any]:
    return np.asarray(dataset.asstr()[:] if dataset.dtype.kind == "S" else dataset[:])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note(path: Path) -> Path:
    return path.with_suffix(".json")
