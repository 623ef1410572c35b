"""Make a cache from embeddings that another tool has extracted."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe import __version__, cache
from seedpipe.cache import Cache, CacheKind, NetworkInfo, Shard
from seedpipe.cache.exchange.provenance import expect_same
from seedpipe.cache.exchange.vectors import Key, Vectors, listed, read_vectors
from seedpipe.errors import ExchangeError, counted
from seedpipe.files import StrPath

SHARD_ROWS = 4096


def import_cache(
    out: StrPath,
    files: Mapping[str, StrPath],
    *,
    kind: CacheKind,
    network: str,
    network_digest: str = "",
    sample_rate: int = 16_000,
    ids: StrPath | None = None,
) -> Cache:
    """Write embeddings of other tools as a cache, on which SEED can be trained and scored.

    Parameters
    ----------
    out : Path
        Folder of the cache; an older one that was imported, too, is replaced.
    files : mapping of str to Path
        Variant to file, ``clean`` among them; see :func:`read_vectors`. Rows are matched by utterance and draw.
    kind : {'training', 'evaluation'}
        Training takes clean and noisy embeddings, evaluation the same number of rows for each utterance.
    network : str
        Name of the network that made them; caches and models fit together when name and digest are equal.
    network_digest : str
        Digest of its weights, if known. Where all files say what made them, that counts instead.
    sample_rate : int
        Samples per second that the network takes.
    ids : Path, optional
        Names of the rows of ``.npy`` files, one a line.

    Raises
    ------
    ExchangeError
        A file cannot be used, or the files do not have the same rows or are of several networks; nothing has been
        written.
    CacheError
        ``out`` is no cache, or one that was extracted.
    """
    out = Path(out)
    cache.refuse_other(out, "imported", "holds a cache that was extracted")
    if "clean" not in files:
        raise ExchangeError(f"there are no clean embeddings among {', '.join(files)}", expected="a file for 'clean'")
    if kind == "training" and len(files) < 2:
        raise ExchangeError("there are no noisy embeddings", expected="clean ones and noisy ones for training")
    clean = read_vectors(files["clean"], ids)
    noisy = {variant: read_vectors(path, ids) for variant, path in files.items() if variant != "clean"}
    for other in noisy.values():
        _check_pairs(clean, other)
    made_by = NetworkInfo(
        name=network,
        fingerprint=_fingerprint([clean, *noisy.values()], network_fingerprint(network, network_digest)),
        dimension=clean.values.shape[1],
        sample_rate=sample_rate,
    )
    return cache_of_vectors(out, {"clean": clean} | noisy, kind=kind, network=made_by)


def cache_of_vectors(
    out: StrPath,
    variants: Mapping[str, Vectors],
    *,
    kind: CacheKind,
    network: NetworkInfo,
    speakers: Mapping[str, str] | None = None,
) -> Cache:
    """Write embeddings that are in memory as a cache, in the place of an older one.

    Parameters
    ----------
    out : str or PathLike
    variants : mapping of str to Vectors
        By variant, ``clean`` first; all of them with the same keys.
    kind : {'training', 'evaluation'}
    network : NetworkInfo
        What made them.
    speakers : mapping of str to str, optional
        Speaker of each utterance.
    """
    clean = variants["clean"]
    keys = _grouped(clean.keys)
    ordered = {variant: _Ordered.of(each, keys) for variant, each in variants.items()}
    features = {"imported": 1} | ({"crops": _crops(keys, clean.path)} if kind == "evaluation" else {})
    info = _describe(kind, network, ordered, keys) | {"features": features}
    return cache.write_cache(out, info, _shards(info, ordered, keys, speakers or {}))


def network_fingerprint(name: str, digest: str) -> str:
    """Fingerprint of a network that is known by its name, and perhaps by a digest of its weights."""
    return hashlib.sha256(f"imported:{name}:{digest}".encode()).hexdigest()


@dataclass(frozen=True)
class _Ordered:
    """The embeddings of a variant, in the order of the cache; a slice of them is read when asked for."""

    values: NDArray[np.floating[Any]]
    rows: NDArray[np.intp]

    @classmethod
    def of(cls, vectors: Vectors, keys: list[Key]) -> _Ordered:
        place = {key: row for row, key in enumerate(vectors.keys)}
        return cls(vectors.values, np.array([place[key] for key in keys], dtype=np.intp))

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        return self.values[self.rows[part]].astype("<f4")


def _fingerprint(files: list[Vectors], described: str) -> str:
    """Fingerprint of the network: the one that all files say, else the one of how it is described."""
    expect_same(((each.path, each.provenance) for each in files), "whether they are of one network")
    said = [each.provenance for each in files]
    known = {each.fingerprint for each in said if each}
    return known.pop() if known and all(said) else described


def _grouped(keys: list[Key]) -> list[Key]:
    """Order rows by the first appearance of their utterance, then by draw."""
    place = {name: row for row, (name, _) in reversed(list(enumerate(keys)))}
    return sorted(keys, key=lambda key: (place[key[0]], key[1]))


def _check_pairs(clean: Vectors, noisy: Vectors) -> None:
    """Refuse files that do not have the same rows."""
    if clean.values.shape[1] != noisy.values.shape[1]:
        raise ExchangeError(
            f"embeddings have dimension {noisy.values.shape[1]}",
            expected=f"{clean.values.shape[1]}, as in {clean.path}",
            file=noisy.path,
        )
    parts = []
    for what, wanted, found in (
        ("missing", clean.keys, set(noisy.keys)),
        ("not among the clean ones", noisy.keys, set(clean.keys)),
    ):
        if keys := [f"{name}#{draw}" if draw else name for name, draw in wanted if (name, draw) not in found]:
            parts.append(f"{counted(len(keys), 'row', 'is/are')} {what}: {listed(keys)}")
    if parts:
        raise ExchangeError(" and ".join(parts), expected=f"the rows of {clean.path}", file=noisy.path)


def _crops(keys: list[Key], path: Path) -> int:
    """Rows of every utterance."""
    counts = Counter(name for name, _ in keys)
    name, crops = next(iter(counts.items()))
    if other := [f"{other} ({count})" for other, count in counts.items() if count != crops]:
        raise ExchangeError(
            f"{counted(len(other), 'utterance', 'has/have')} another number of rows than {name} ({crops}):"
            f" {listed(other)}",
            expected="as many rows for each utterance of an evaluation",
            remedy="average them, or leave some out",
            file=path,
        )
    return crops


def _describe(kind: str, network: NetworkInfo, variants: Mapping[str, _Ordered], keys: list[Key]) -> dict[str, Any]:
    """Provenance of the cache to be, all but its features and shards."""
    hashed = hashlib.sha256(json.dumps(keys).encode())
    for values in variants.values():
        for part in _parts(keys):
            hashed.update(values[part].data)
    info: dict[str, Any] = {
        "format": cache.FORMAT,
        "kind": kind,
        "network": network,
        "variants": tuple(variants),
        "rows": len(keys),
        "utterances": sum(draw == 0 for _, draw in keys),
        "augmentation": {},
        "seed": 0,
        "synthetic": False,
        "audio": hashed.hexdigest(),
        "seconds": 0.0,
        "versions": {"seedpipe": __version__, "numpy": np.__version__},
    }
    deciding = {name: info[name] for name in ("format", "kind", "variants", "audio")} | network.model_dump()
    fingerprint = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
    return info | {"fingerprint": fingerprint}


def _shards(
    info: dict[str, Any], variants: Mapping[str, _Ordered], keys: list[Key], speakers: Mapping[str, str]
) -> Iterator[Shard]:
    for part in _parts(keys):
        embeddings = np.stack([values[part] for values in variants.values()], axis=1)
        yield Shard(embeddings, info["variants"], _columns(keys[part], len(variants), speakers), info["fingerprint"])


def _parts(keys: list[Key]) -> Iterator[slice]:
    """Cut the rows into shards of whole utterances."""
    first = 0
    for row, (_, draw) in enumerate(keys):
        if draw == 0 and row - first >= SHARD_ROWS:
            yield slice(first, row)
            first = row
    yield slice(first, len(keys))


def _columns(keys: list[Key], variants: int, speakers: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    shape = (len(keys), variants)
    return {
        "utterance": np.array([name for name, _ in keys]),
        "speaker": np.array([speakers.get(name, "") for name, _ in keys]),
        "draw": np.array([draw for _, draw in keys], dtype=np.int32),
        "crop_start": np.zeros(len(keys), dtype=np.int64),
        "noise": np.full(shape, ""),
        "noise_offset": np.full(shape, -1, dtype=np.int64),
        "snr_db": np.full(shape, np.inf, dtype=np.float32),
        "rir": np.full(shape, ""),
    }
