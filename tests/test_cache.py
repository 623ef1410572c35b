"""seedpipe.cache: equal bytes for equal contents, and every kind of damage is noticed and named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import folder_bytes

from seedpipe import cache
from seedpipe.cache import Cache, CacheInfo, NetworkInfo, Shard
from seedpipe.errors import CacheDamagedError, CacheError, CacheMismatchError

VARIANTS = ("clean", "noise", "reverb")
NETWORK = NetworkInfo(name="stub", fingerprint="f" * 8, dimension=5, sample_rate=16_000)
ROWS = (4, 3)


def contents(number: int, rows: int) -> Shard:
    generator = np.random.default_rng(number)
    columns: dict[str, np.ndarray] = {
        "utterance": np.array([f"zwölf-十二/{number}-{row}.wav" for row in range(rows)]),
        "speaker": np.array(["" if number else "anna"] * rows),
        "draw": np.arange(rows, dtype=np.int32),
        "crop_start": np.arange(rows, dtype=np.int64) * 100,
        "noise": np.array([["", "street/ü.wav", ""]] * rows),
        "noise_offset": np.array([[-1, 17, -1]] * rows, dtype=np.int64),
        "snr_db": np.array([[np.inf, 7.25, np.inf]] * rows, dtype=np.float32),
        "rir": np.array([["", "", "hall.wav"]] * rows),
    }
    embeddings = generator.standard_normal((rows, len(VARIANTS), NETWORK.dimension)).astype(np.float32)
    return Shard(embeddings, VARIANTS, columns, key=f"key {number}")


def build(folder: Path) -> Cache:
    work = folder.with_name(f".{folder.name}.work")
    work.mkdir(parents=True)
    shards = tuple(
        cache.write_shard(work / cache.shard_name(number), contents(number, rows)) for number, rows in enumerate(ROWS)
    )
    info = CacheInfo(
        format="seedpipe-cache-1",
        kind="training",
        network=NETWORK,
        variants=VARIANTS,
        rows=sum(ROWS),
        utterances=7,
        seconds=12.5,
        features={"crop_samples": 4_000, "draws": 1},
        augmentation={"noise_snr_db": [0.0, 15.0]},
        seed=0,
        synthetic=False,
        audio="a" * 8,
        fingerprint="c" * 8,
        versions={"seedpipe": "0"},
        shards=shards,
    )
    return cache.publish(work, folder, info)


@pytest.fixture
def made(tmp_path: Path) -> Cache:
    return build(tmp_path / "cache")


# ------------------------------------------------------------------------------------------------------- round trip


def test_what_is_written_is_read(made: Cache) -> None:
    expected = np.concatenate([contents(number, rows).embeddings for number, rows in enumerate(ROWS)])
    opened = cache.open_cache(str(made.path))
    assert len(opened) == 7
    assert opened.info == made.info
    np.testing.assert_array_equal(opened.to_numpy(), expected)
    tensor = opened.to_torch()
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor, torch.from_numpy(expected))
    opened.verify()
    assert "7 rows x 3 variants (clean, noise, reverb) x 5-d, network stub, training" in repr(opened)


def test_only_shards_and_the_manifest_are_published(made: Cache) -> None:
    assert sorted(folder_bytes(made.path)) == ["manifest.json", "shard-00000.h5", "shard-00001.h5"]
    assert [entry.name for entry in made.path.parent.iterdir()] == ["cache"]


def test_publishing_replaces_an_older_cache_and_clears_the_work_folder(tmp_path: Path) -> None:
    old = build(tmp_path / "cache")
    (old.path / "shard-00099.h5").write_bytes(b"of an older run")
    work = tmp_path / ".cache.work"
    work.mkdir()
    (work / ".shard-00001.h5.123.partial").write_bytes(b"of a killed run")
    (work / "failures.jsonl").write_text("{}\n")
    info = cache.write_shard(work / cache.shard_name(0), contents(0, 4))
    new = cache.publish(work, old.path, old.info.model_copy(update={"rows": 4, "shards": (info,)}))
    assert sorted(folder_bytes(new.path)) == ["failures.jsonl", "manifest.json", "shard-00000.h5"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["cache"]


def test_plain_h5py_reads_a_shard(made: Cache) -> None:
    with h5py.File(made.path / "shard-00000.h5") as file:
        np.testing.assert_array_equal(file["embeddings"][:], contents(0, 4).embeddings)
        assert file["embeddings"].compression is None
        assert list(file["embeddings"].attrs["variants"]) == list(VARIANTS)
        assert file["utterance"][0].decode("utf-8") == "zwölf-十二/0-0.wav"
        assert file.attrs["format"] == "seedpipe-cache-1"
        assert file["snr_db"][0].tolist() == [np.inf, 7.25, np.inf]


def test_equal_contents_give_equal_bytes(tmp_path: Path) -> None:
    assert folder_bytes(build(tmp_path / "one").path) == folder_bytes(build(tmp_path / "two").path)


def test_the_table_has_a_recipe_for_each_noisy_variant(made: Cache) -> None:
    frame = made.frame()
    parts = [f"{name}:{variant}" for name in ("noise", "noise_offset", "snr_db", "rir") for variant in VARIANTS[1:]]
    assert list(frame) == ["utterance", "speaker", "draw", "crop_start", *parts]
    assert len(frame) == 7
    assert frame["utterance"][4] == "zwölf-十二/1-0.wav"
    assert frame["speaker"].tolist() == ["anna"] * 4 + [""] * 3
    assert frame["draw"].tolist() == [0, 1, 2, 3, 0, 1, 2]
    first = frame.iloc[0]
    assert (first["noise:noise"], first["noise_offset:noise"], first["snr_db:noise"]) == ("street/ü.wav", 17, 7.25)
    assert (first["rir:reverb"], first["noise:reverb"], first["snr_db:reverb"]) == ("hall.wav", "", np.inf)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_never_enter(tmp_path: Path, value: float) -> None:
    shard = contents(0, 4)
    shard.embeddings[2, 1, 3] = value
    with pytest.raises(CacheError, match=r"not finite for zwölf-十二/0-2\.wav \(noise\); listen to the utterance"):
        cache.write_shard(tmp_path / "shard-00000.h5", shard)
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------------------- damage


def _flip(position: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "shard-00001.h5"
        data = bytearray(path.read_bytes())
        data[int(position * (len(data) - 1))] ^= 1
        path.write_bytes(data)

    return damage


def _cut(keep: Callable[[int], int]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "shard-00001.h5"
        path.write_bytes(path.read_bytes()[: keep(path.stat().st_size)])

    return damage


def _one_bit_of_the_data(folder: Path) -> None:
    path = folder / "shard-00001.h5"
    data = bytearray(path.read_bytes())
    place = bytes(data).index(contents(1, 3).embeddings.tobytes())
    data[place + 20] ^= 1
    path.write_bytes(data)


SHARD_DAMAGE = {
    "a bit of the header": (_flip(0), "does not have the digest in manifest.json"),
    "a bit in the middle": (_flip(0.5), "does not have the digest"),
    "a bit at the end": (_flip(1), "does not have the digest"),
    "a bit of an embedding": (_one_bit_of_the_data, "does not have the digest"),
    "a byte less": (_cut(lambda size: size - 1), "bytes instead of"),
    "half": (_cut(lambda size: size // 2), "bytes instead of"),
    "nothing left": (_cut(lambda _: 0), "has 0 bytes instead of"),
    "deleted": (lambda folder: (folder / "shard-00001.h5").unlink(), "is missing"),
}


@pytest.mark.parametrize("read", [Cache.verify, Cache.to_numpy, Cache.frame, Cache.to_torch])
@pytest.mark.parametrize("case", SHARD_DAMAGE)
def test_a_damaged_shard_is_named(made: Cache, case: str, read: Callable[[Cache], object]) -> None:
    damage, found = SHARD_DAMAGE[case]
    damage(made.path)
    opened = cache.open_cache(made.path)
    with pytest.raises(CacheDamagedError) as caught:
        read(opened)
    assert str(caught.value).startswith(f"{made.path / 'shard-00001.h5'}: ")
    assert found in str(caught.value)
    assert "extract the cache again" in str(caught.value)


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        change(manifest)
        path.write_text(json.dumps(manifest), encoding="utf-8")

    return damage


def _write(data: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "manifest.json").write_bytes(data)

    return damage


MANIFEST_DAMAGE = {
    "no JSON": (_write(b'{"format": "seedpi'), "the file: invalid json"),
    "empty": (_write(b""), "the file: invalid json"),
    "binary": (_write(b"\x00\xff\xfe"), "the file: invalid json"),
    "a list": (_write(b"[]"), "the file: "),
    "unknown key": (_edit(lambda m: m.update(extra=1)), "extra: "),
    "unknown key of a shard": (_edit(lambda m: m["shards"][1].update(extra=1)), "shards.1.extra: "),
    "another format": (_edit(lambda m: m.update(format="seedpipe-cache-2")), "format: input should be 'seedpipe-cac"),
    "lacking key": (_edit(lambda m: m.pop("network")), "network: field required"),
    "wrong type": (_edit(lambda m: m.update(rows="7")), "rows: "),
    "no shards": (_edit(lambda m: m.update(shards=[])), "shards: "),
    "a path outside": (_edit(lambda m: m["shards"][0].update(file="../shard-00000.h5")), "shards.0.file: "),
    "rows": (_edit(lambda m: m.update(rows=8)), "the shards do not add up to 8 rows"),
    "rows of a shard": (_edit(lambda m: m["shards"][0].update(rows=5)), "the shards do not add up to 7 rows"),
    "a shard dropped": (_edit(lambda m: m["shards"].pop()), "the shards do not add up to 7 rows"),
}


@pytest.mark.parametrize("case", MANIFEST_DAMAGE)
def test_a_damaged_manifest_is_named(made: Cache, case: str) -> None:
    damage, found = MANIFEST_DAMAGE[case]
    damage(made.path)
    with pytest.raises(CacheDamagedError) as caught:
        cache.open_cache(made.path)
    assert str(caught.value).startswith(f"{made.path / 'manifest.json'}: {found}")


def test_shards_exchanged_for_each_other_are_noticed(made: Cache) -> None:
    first, second = made.path / "shard-00000.h5", made.path / "shard-00001.h5"
    other = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(other)
    with pytest.raises(CacheDamagedError, match=r"shard-00000\.h5: "):
        made.to_numpy()


def test_a_manifest_that_promises_other_shapes_is_noticed(made: Cache) -> None:
    _edit(lambda m: m["network"].update(dimension=6))(made.path)
    with pytest.raises(CacheDamagedError, match=r"shard-00000\.h5: cannot be read"):
        cache.open_cache(made.path).to_numpy()


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_cache_is_no_cache(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CacheError, match=f"{name}: there is no cache; run seedpipe extract"):
        cache.open_cache(tmp_path / name)


# ----------------------------------------------------------------------------------------------------- expectations


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "other"}, "network name is 'stub'; expected 'other'"),
        ({"dimension": 6}, "network dimension is 5; expected 6"),
        ({"fingerprint": "e"}, "network fingerprint is 'ffffffff'; expected 'e'"),
    ],
)
def test_a_cache_of_another_network_is_refused_by_field(made: Cache, change: dict[str, object], text: str) -> None:
    assert made.expect(network=NETWORK, kind="training") is made
    with pytest.raises(CacheMismatchError) as caught:
        made.expect(network=NETWORK.model_copy(update=change))
    assert str(caught.value).startswith(f"{made.path / 'manifest.json'}: {text}")


def test_a_cache_of_another_kind_is_refused(made: Cache) -> None:
    with pytest.raises(CacheMismatchError, match="kind is 'training'; expected 'evaluation'"):
        made.expect(kind="evaluation")


# ----------------------------------------------------------------------------------------------------------- resume


def test_a_finished_shard_is_trusted_only_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.h5"
    assert cache.finished_shard(path, "key 0") is None
    info = cache.write_shard(path, contents(0, 4))
    assert cache.finished_shard(path, "key 0") == info
    assert cache.finished_shard(path, "key 1") is None, "made from something else"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    assert cache.finished_shard(path, "key 0") is None
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert cache.finished_shard(path, "key 0") is None
    path.write_bytes(good)
    assert cache.finished_shard(path, "key 0") == info
    path.with_suffix(".json").write_text("{")
    assert cache.finished_shard(path, "key 0") is None
    path.with_suffix(".json").unlink()
    assert cache.finished_shard(path, "key 0") is None


@pytest.mark.parametrize("moment", ["h5py.File.create_dataset", "seedpipe.files.fsync"])
def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(moment, full_disk)
    with pytest.raises(OSError, match="no space left"):
        cache.write_shard(tmp_path / "shard-00000.h5", contents(0, 4))
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from seedpipe import cache, files
from test_cache import contents
files.fsync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
cache.write_shard(Path(sys.argv[2]), contents(0, 4))
"""


def test_a_run_killed_while_writing_leaves_no_shard(tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.h5"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(path)]
    killed = subprocess.run(command, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    assert [entry.suffix for entry in tmp_path.iterdir()] == [".partial"]
    assert cache.finished_shard(path, "key 0") is None
    cache.write_shard(path, contents(0, 4))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["embeddings"][:], contents(0, 4).embeddings)
