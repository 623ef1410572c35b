"""seedpipe.cache: equal bytes for equal contents, and every kind of damage is noticed and named."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import pickle
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
from torch.utils.data import DataLoader

from seedpipe import cache
from seedpipe.cache import Cache, CacheInfo, NetworkInfo, Shard, reader
from seedpipe.cache.exchange import Vectors
from seedpipe.errors import BusyError, CacheDamagedError, CacheError, CacheMismatchError, ExchangeError

VARIANTS = ("clean", "noise", "reverb")
NETWORK = NetworkInfo(name="stub", fingerprint="f" * 8, dimension=5, sample_rate=16_000)
ROWS = (4, 3)
CHILD = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))}


def contents(number: int, rows: int, storage: str = "float32") -> Shard:
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
    embeddings = generator.standard_normal((rows, len(VARIANTS), NETWORK.dimension)).astype(storage)
    return Shard(embeddings, VARIANTS, columns, key=f"key {number}")


def build(folder: Path, storage: Any = "float32") -> Cache:
    work = folder.with_name(f".{folder.name}.work")
    return cache.publish(work, folder, finished_work(work, storage))


def finished_work(work: Path, storage: Any = "float32") -> CacheInfo:
    """A work folder with all of its shards, and what its manifest will say."""
    work.mkdir(parents=True)
    shards = tuple(
        cache.write_shard(work / cache.shard_name(number), contents(number, rows, storage))
        for number, rows in enumerate(ROWS)
    )
    return CacheInfo(
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
        storage=storage,
    )


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


def test_a_cache_written_in_one_go_replaces_only_its_like_and_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    source = build(tmp_path / "source")
    (tmp_path / "note").write_text("listed")
    info = dict(source.info) | {"features": {"imported": 1}}
    out, note = str(tmp_path / "out"), str(tmp_path / "note")
    made = cache.write_cache(out, info, source.shards(), failures=note)
    np.testing.assert_array_equal(made.to_numpy(), source.to_numpy())
    assert (made.path / "failures.jsonl").read_text() == "listed"
    cache.refuse_other(str(made.path), "imported", "is another one")
    with pytest.raises(CacheError, match="source: is another one; remove it, or choose another folder"):
        cache.refuse_other(source.path, "imported", "is another one")
    bad = contents(0, 4)
    bad.embeddings[0] = np.nan
    with pytest.raises(CacheError, match="not finite"):
        cache.write_cache(made.path, info, [contents(1, 3), bad])
    assert cache.open_cache(made.path).info == made.info
    assert sorted(path.name for path in tmp_path.iterdir()) == ["note", "out", "source"]


def test_publishing_replaces_an_older_cache_and_clears_the_work_folder(tmp_path: Path) -> None:
    old = build(tmp_path / "cache")
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


def test_values_of_which_a_part_would_go_never_enter(tmp_path: Path) -> None:
    whole = contents(0, 4)
    masked = np.ma.masked_array(whole.embeddings, np.zeros_like(whole.embeddings, bool))
    for partly, text in ((masked, "are a masked array"), (whole.embeddings * 1j, "are complex numbers")):
        with pytest.raises(CacheError, match=f"embeddings {text}"):
            cache.write_shard(tmp_path / "shard-00000.h5", dataclasses.replace(whole, embeddings=partly))
        with pytest.raises(ExchangeError, match=f"embeddings {text}"):
            Vectors(tmp_path, [("a", 0)], partly[0])
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------- float16


def test_half_precision_is_stored_and_single_precision_is_read(tmp_path: Path) -> None:
    made = build(tmp_path / "cache", "float16")
    expected = np.concatenate([contents(number, rows, "float16").embeddings for number, rows in enumerate(ROWS)])
    assert made.to_numpy().dtype == np.float32
    np.testing.assert_array_equal(made.to_numpy(), expected.astype(np.float32))
    assert made.dataset()[5]["embeddings"].dtype == torch.float32
    np.testing.assert_array_equal(made.dataset()[5]["embeddings"], expected[5].astype(np.float32))
    assert next(made.shards()).embeddings.dtype == np.float32
    made.verify()
    assert "x 5-d, float16, network stub" in repr(made)
    with h5py.File(made.path / "shard-00000.h5") as file:
        assert file["embeddings"].dtype == np.float16


def test_values_beyond_half_precision_never_enter(tmp_path: Path) -> None:
    shard = contents(0, 4, "float16")
    shard.embeddings[3, 2, 0] = -np.inf  # what 70,000 becomes
    with pytest.raises(CacheError, match=r"of zwölf-十二/0-3\.wav \(reverb\) does not fit into float16; .* float32"):
        cache.write_shard(tmp_path / "shard-00000.h5", shard)
    shard.embeddings[3, 2, 0] = np.nan
    with pytest.raises(CacheError, match=r"not finite for zwölf-十二/0-3\.wav \(reverb\)"):
        cache.write_shard(tmp_path / "shard-00000.h5", shard)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------- reading


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files of shards that were read from their start to their end."""
    done: list[str] = []
    extents = reader.extents

    def note(file: Any) -> object:
        done.append(Path(file.name).name)
        return extents(file)

    monkeypatch.setattr(reader, "extents", note)
    return done


def copied(thing: Any) -> Any:
    """As it comes to another process."""
    return pickle.loads(pickle.dumps(thing))  # noqa: S301


def age(folder: Path) -> None:
    """Let the shards be written long ago; those of this instant could still change without a trace."""
    for number, path in enumerate(sorted(folder.glob("shard-*.h5"))):
        os.utime(path, (1e9 + number, 1e9 + number))


def test_shards_are_hashed_once_by_each_object(made: Cache, hashed: list[str]) -> None:
    age(made.path)
    first = made.to_numpy()
    table = made.frame()
    np.testing.assert_array_equal(made.to_numpy(), first)
    assert sorted(hashed) == ["shard-00000.h5", "shard-00001.h5"]
    assert table.equals(cache.open_cache(made.path).frame())
    assert len(hashed) == 4
    made.verify()
    assert len(hashed) == 6, "verify always reads everything"


def test_a_shard_that_changes_after_it_was_verified_is_hashed_again(made: Cache) -> None:
    age(made.path)
    made.verify()
    made.frame()
    _one_bit_of_the_data(made.path)
    for read in (made.to_numpy, made.frame, lambda: list(made.shards())):
        with pytest.raises(CacheDamagedError, match=r"shard-00001\.h5: does not have the digest"):
            read()


def test_a_shard_that_was_just_written_is_not_trusted_yet(made: Cache) -> None:
    made.to_numpy()
    path = made.path / "shard-00001.h5"
    status = path.stat()
    _one_bit_of_the_data(made.path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a coarse clock would leave it
    with pytest.raises(CacheDamagedError, match="does not have the digest"):
        made.to_numpy()


def test_shards_come_one_by_one_with_their_columns(made: Cache) -> None:
    for number, shard in enumerate(made.shards()):
        expected = contents(number, ROWS[number])
        np.testing.assert_array_equal(shard.embeddings, expected.embeddings)
        assert (shard.variants, shard.key) == (VARIANTS, expected.key)
        for name, values in expected.columns.items():
            np.testing.assert_array_equal(shard.columns[name], values)
    assert number == 1


@pytest.mark.parametrize("number", [0, 3, 4, 6])
def test_a_row_is_read_by_its_number(made: Cache, number: int) -> None:
    row, table = made.row(number, ("embeddings", "utterance", "noise", "snr_db")), made.frame()
    np.testing.assert_array_equal(row["embeddings"], made.to_numpy()[number])
    assert row["utterance"] == table["utterance"][number]
    assert row["noise"].tolist() == ["", "street/ü.wav", ""]
    assert row["snr_db"].tolist() == [np.inf, 7.25, np.inf]


def test_some_rows_of_a_shard_are_read(made: Cache) -> None:
    for _ in range(2):  # from the bytes that were hashed, then from the file
        age(made.path)
        np.testing.assert_array_equal(made.rows(1, 1, 3), made.to_numpy()[5:7])


def test_a_cache_can_be_sent_to_another_process(made: Cache) -> None:
    made.to_numpy()
    np.testing.assert_array_equal(copied(made).to_numpy(), made.to_numpy())


# ---------------------------------------------------------------------------------------------------------- dataset


def test_an_item_is_a_row(made: Cache) -> None:
    dataset, table, embeddings = made.dataset(), made.frame(), made.to_torch()
    assert len(dataset) == 7
    for row in (0, 3, 4, 6, -1, np.int64(2)):
        item = dataset[row]
        assert torch.equal(item["embeddings"], embeddings[row])
        assert (item["utterance"], item["draw"]) == (table["utterance"].iloc[row], table["draw"].iloc[row])
    for row in (7, -8):
        with pytest.raises(IndexError):
            dataset[row]


def test_a_dataset_verifies_each_shard_once(made: Cache, hashed: list[str]) -> None:
    age(made.path)
    dataset = made.dataset()
    assert hashed == []
    for row in (0, 5, 1, 6, 0):
        dataset[row]
    assert hashed == ["shard-00000.h5", "shard-00001.h5"]
    copied(dataset)[0]
    assert hashed[2:] == ["shard-00000.h5"], "what one process verified says nothing to another"


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_loader_give_every_row(made: Cache, start: str) -> None:
    dataset = made.dataset()
    dataset[0]  # a parent that has read leaves nothing that a worker could trip over
    loader = DataLoader(dataset, batch_size=3, num_workers=2, multiprocessing_context=start)
    batches = list(loader)
    assert torch.equal(torch.cat([batch["embeddings"] for batch in batches]), made.to_torch())
    assert [name for batch in batches for name in batch["utterance"]] == made.frame()["utterance"].tolist()
    assert torch.cat([batch["draw"] for batch in batches]).tolist() == made.frame()["draw"].tolist()


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


def _last_item(opened: Cache) -> object:
    return opened.dataset()[-1]


def _last_shard(opened: Cache) -> object:
    return list(opened.shards())[-1]


@pytest.mark.parametrize("read", [Cache.verify, Cache.to_numpy, Cache.frame, Cache.to_torch, _last_item, _last_shard])
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


def _edit(change: Callable[[dict[str, Any]], object], *, seal: bool = True) -> Callable[[Path], None]:
    """Change the manifest, with the digest that docs/cache-format.md defines."""

    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        change(manifest)
        digest = manifest.pop("digest", "")
        if seal:
            text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            digest = hashlib.sha256(text.encode()).hexdigest()
        text = json.dumps(manifest | {"digest": digest}, indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")

    return damage


def _spelt_otherwise(folder: Path) -> None:
    path = folder / "manifest.json"
    text = path.read_text(encoding="utf-8")
    assert "12.5" in text
    path.write_text(text.replace("12.5", "1.25E1"), encoding="utf-8")


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
    "a variant twice": (
        _edit(lambda m: m.update(variants=["clean", "noise", "noise"])),
        "the file: value error, names the variant noise twice",
    ),
    "a shard twice": (
        _edit(lambda m: m["shards"].__setitem__(1, m["shards"][0])),
        "the file: value error, names the shard shard-00000.h5 twice",
    ),
    "rows": (_edit(lambda m: m.update(rows=8)), "the shards do not add up to 8 rows"),
    "rows of a shard": (_edit(lambda m: m["shards"][0].update(rows=5)), "the shards do not add up to 7 rows"),
    "a number": (_edit(lambda m: m.update(seed=1), seal=False), "its contents do not have the digest that it states"),
    "a text": (_edit(lambda m: m["versions"].update(seedpipe="1"), seal=False), "its contents do not have the digest"),
    "without a digest": (_edit(lambda m: m.update(digest=""), seal=False), "its contents do not have the digest"),
    "another spelling of a number": (_spelt_otherwise, "its contents do not have the digest"),
    "a shard dropped": (_edit(lambda m: m["shards"].pop()), "the shards do not add up to 7 rows"),
}


def test_a_change_that_is_sealed_again_is_read(made: Cache) -> None:
    _edit(lambda m: m.update(seed=1))(made.path)
    assert cache.open_cache(made.path).info.seed == 1


def test_every_flipped_bit_of_the_manifest_is_noticed(made: Cache) -> None:
    path = made.path / "manifest.json"
    good = path.read_bytes()
    for place in range(len(good)):
        for bit in {0, 5, place % 8}:  # 5 makes small letters large
            data = bytearray(good)
            data[place] ^= 1 << bit
            path.write_bytes(data)
            with pytest.raises(CacheDamagedError, match=r"manifest\.json: "):
                cache.open_cache(made.path)


@pytest.mark.parametrize("keep", [lambda size: size - 1, lambda size: size // 2])
def test_a_manifest_that_was_cut_is_noticed(made: Cache, keep: Callable[[int], int]) -> None:
    path = made.path / "manifest.json"
    path.write_bytes(path.read_bytes()[: keep(path.stat().st_size)])
    with pytest.raises(CacheDamagedError, match=r"manifest\.json: "):
        cache.open_cache(made.path)


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


PROMISES = {
    "dimension": (lambda m: m["network"].update(dimension=6), "embeddings has shape (4, 3, 5); expected (4, 3, 6)"),
    "storage": (lambda m: m.update(storage="float16"), "embeddings are float32; expected float16"),
    "rows": (
        lambda m: (m["shards"][0].update(rows=3), m["shards"][1].update(rows=4)),
        "embeddings has shape (4, 3, 5); expected (3, 3, 5)",
    ),
    "variants": (
        lambda m: m.update(variants=["clean", "reverb", "noise"]),
        "holds the variants clean, noise, reverb; expected clean, reverb, noise, as in manifest.json",
    ),
}


@pytest.mark.parametrize("read", [Cache.verify, Cache.to_numpy, Cache.frame])
@pytest.mark.parametrize("case", PROMISES)
def test_a_manifest_that_promises_something_else_is_noticed(
    made: Cache, case: str, read: Callable[[Cache], object]
) -> None:
    change, found = PROMISES[case]
    _edit(change)(made.path)
    with pytest.raises(CacheDamagedError) as caught:
        read(cache.open_cache(made.path))
    assert str(caught.value).startswith(f"{made.path / 'shard-00000.h5'}: {found}")


def test_shards_that_do_not_name_their_variants_are_read(made: Cache) -> None:
    path, expected = made.path / "shard-00001.h5", made.to_numpy()
    with h5py.File(path, "r+") as file:
        del file["variants"]
    data = path.read_bytes()
    _edit(lambda m: m["shards"][1].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))(made.path)
    np.testing.assert_array_equal(cache.open_cache(made.path).to_numpy(), expected)


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
    note = path.with_suffix(".json")
    note.write_text(note.read_text().replace('"rows": 4', '"rows": 5'))
    assert cache.finished_shard(path, "key 0") is None
    note.write_text("{")
    assert cache.finished_shard(path, "key 0") is None
    path.with_suffix(".json").unlink()
    assert cache.finished_shard(path, "key 0") is None


@pytest.mark.parametrize("moment", ["h5py.File.create_dataset", "pathlib.Path.write_bytes", "os.fsync"])
def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(moment, full_disk)
    with pytest.raises(OSError, match="no space left"):
        cache.write_shard(tmp_path / "shard-00000.h5", contents(0, 4))
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from seedpipe import cache
from test_cache import contents
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
cache.write_shard(Path(sys.argv[1]), contents(0, 4))
"""


def test_a_run_killed_while_writing_leaves_no_shard(tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.h5"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, env=CHILD)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    left = [".shard-00000.h5.seedpipe-0.partial", "..shard-00000.h5.seedpipe-0.partial.lock"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(left)
    assert cache.finished_shard(path, "key 0") is None
    cache.write_shard(path, contents(0, 4))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["embeddings"][:], contents(0, 4).embeddings)


FULL = """
import resource, sys
from pathlib import Path
from seedpipe import cache
from test_cache import contents
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    cache.write_shard(Path(sys.argv[1]), contents(0, 4))
except OSError as error:
    print(error)
"""


def test_a_disk_that_is_full_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.h5"
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=CHILD)
    assert done.stdout == f"[Errno {errno.EFBIG}] File too large: '{path}'\n"
    assert "HDF5" not in done.stderr, "which prints its errors by itself"
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- killed while publishing


def test_a_work_folder_is_published_where_an_earlier_run_was_killed(tmp_path: Path) -> None:
    work = tmp_path / ".cache.work"
    assert cache.unpublished(work, "c" * 8) is None
    info = finished_work(work)
    assert cache.unpublished(work, info.fingerprint) is None, "there is no manifest yet"
    whole = folder_bytes(build(tmp_path / "other").path)
    (work / "manifest.json").write_bytes(whole["manifest.json"])
    found = cache.unpublished(work, info.fingerprint)
    assert found is not None
    assert found.model_copy(update={"digest": ""}) == info
    assert folder_bytes(cache.publish(work, tmp_path / "cache", found).path) == whole


@pytest.mark.parametrize("case", ["of another cache", "with a damaged shard"])
def test_shards_of_an_unpublished_folder_are_found_again(tmp_path: Path, case: str) -> None:
    work = build(tmp_path / "cache").path  # without notes, as after a kill
    info = cache.open_cache(work).info
    if case == "with a damaged shard":
        _one_bit_of_the_data(work)
    assert cache.unpublished(work, info.fingerprint if "damaged" in case else "another") is None
    assert cache.finished_shard(work / "shard-00000.h5", "key 0") == info.shards[0]
    assert (cache.finished_shard(work / "shard-00001.h5", "key 1") is None) == ("damaged" in case)
    assert not (work / "manifest.json").exists()


KILLED_ANYWHERE = """
import itertools, os, shutil, sys
from pathlib import Path
import numpy as np
from seedpipe import cache, files
from seedpipe.cache import writer

TRACED = {*map(str, Path(files.__file__).parent.glob("*.py")), writer.__file__}
os.fsync = lambda handle: None  # the machine stays up: what is killed here are processes

def killed_at(line, work):
    # In a child that ends without any cleaning up when it comes to the given line.
    seen = itertools.count()
    def trace(frame, event, argument):
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line" and next(seen) == line:
            os._exit(9)
        return trace
    child = os.fork()
    if not child:
        sys.settrace(trace)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

def shards(work):
    for number in (0, 1):
        texts, numbers = np.array(["a", "b"]), np.arange(2)
        columns = dict(utterance=texts, speaker=texts, draw=numbers, crop_start=numbers)
        text, count = texts[:, None], numbers[:, None]
        columns |= dict(noise=text, noise_offset=count, snr_db=count, rir=text)
        embeddings = np.full((2, 1, 3), number, np.float32)
        yield cache.write_shard(work / cache.shard_name(number), cache.Shard(embeddings, ["clean"], columns, "key"))

def finished_work(work):
    network = cache.NetworkInfo(name="stub", fingerprint="f", dimension=3, sample_rate=16_000)
    return cache.CacheInfo(
        format=cache.FORMAT, kind="training", network=network, variants=("clean",), rows=4, utterances=4, seconds=1.0,
        synthetic=False, features={}, augmentation={}, seed=0, audio="a", fingerprint="wanted", versions={},
        shards=tuple(shards(work)),
    )

def keys(work):
    return [cache.finished_shard(work / cache.shard_name(number), "key") for number in (0, 1)]

root, old, new = (Path(sys.argv[1]) / name for name in ("root", "old", "new"))
cache.publish(root, old, finished_work(root).model_copy(update={"fingerprint": "old"}))
info = finished_work(new)
counts = []
for wanted in ("wanted", "another"):
    for line in itertools.count():
        shutil.rmtree(root, ignore_errors=True)
        out, work = root / "cache", root / ".cache.work"
        shutil.copytree(old, out)
        shutil.copytree(new, work)
        if not killed_at(line, lambda: cache.publish(work, out, info)):
            break
        killed_at(line % 40, lambda: cache.unpublished(work, wanted))  # and again, in its recovery
        now = cache.open_cache(out)  # at no instant was there none
        now.verify()
        if now.info.fingerprint == "old":
            found = cache.unpublished(work, wanted)
            assert None not in (found and found.shards or keys(work)), (wanted, line)
            assert not found or cache.publish(work, out, found).info.fingerprint == wanted
    counts.append(line)
print(*counts)
"""


def test_a_kill_at_any_line_of_publishing_costs_no_shard(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_ANYWHERE, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=CHILD)
    assert done.returncode == 0, done.stderr
    assert all(int(count) > 40 for count in done.stdout.split())


@pytest.mark.parametrize(
    "index", [0, -1, 4, slice(2, 7), slice(None), slice(None, None, -1), slice(6, 1, -2), slice(3, 3)]
)
def test_rows_are_taken_by_their_number(made: Cache, index: Any) -> None:
    found = made[index]
    np.testing.assert_array_equal(found, made.to_numpy()[index])
    assert found.dtype == np.float32


def test_a_cache_has_an_end_and_its_rows_come_one_by_one(made: Cache) -> None:
    np.testing.assert_array_equal(np.stack(list(made)), made.to_numpy())
    with pytest.raises(IndexError):
        made[len(made)]


def test_a_notebook_shows_what_a_cache_is(made: Cache) -> None:
    shown = made._repr_html_()
    assert f"{len(made):,} of {made.info.utterances:,} utterances" in shown
    assert made.info.network.name in shown


@pytest.mark.parametrize(
    "read",
    [
        Cache.to_numpy,
        Cache.frame,
        Cache.verify,
        lambda c: c.shard(1),
        lambda c: c.rows(0, 0, 2),
        lambda c: c.row(0, ["draw"]),
    ],
)
def test_a_cache_that_is_replaced_meanwhile_is_not_called_damaged(
    tmp_path: Path, read: Callable[[Cache], object]
) -> None:
    made = build(tmp_path / "cache")
    shards = [dataclasses.replace(shard, embeddings=shard.embeddings + 1) for shard in made.shards()]
    same = dict(made.info) | {"fingerprint": "f" * 64}
    cache.write_cache(made.path, same, shards)
    with pytest.raises(BusyError, match="was replaced by another cache while it was read"):
        read(made)
    read(cache.open_cache(made.path))
