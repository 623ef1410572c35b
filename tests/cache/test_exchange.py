"""seedpipe.cache.exchange: what goes out comes back, Kaldi agrees, and nothing is mangled, guessed or run."""

from __future__ import annotations

import collections
import io
import itertools
import os
import re
import resource
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile  # noqa: F401  (kaldiio looks for it, and warns of older ones)
from conftest import folder_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import QUICK, VARIANTS, D, draw_embeddings, evaluation_cache, utterance_names, write_trials

from seedpipe import cache
from seedpipe.cache import Cache
from seedpipe.cache.exchange import export_cache, import_cache, read_vectors
from seedpipe.cache.exchange.kaldi import read_ark, read_scp, write_kaldi
from seedpipe.enhancers import train
from seedpipe.errors import CacheDamagedError, CacheError, ExchangeError
from seedpipe.params import ScoreParams
from seedpipe.scoring import evaluate
from seedpipe.scoring.trials import read_trials

NAMES = ["zwölf-十二/a.wav", "b c", "ΩΩ", "d"]


def vectors(rows: int = 4, dimension: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)


def write_npz(path: Path, values: np.ndarray, names: list[str], key: str = "utterance") -> Path:
    np.savez(path, **{"embeddings": values, key: np.array(names)})
    return path


@pytest.fixture
def made(tmp_path: Path) -> Cache:
    """Four utterances of three rows, the first of which has a name that is not ASCII, in several shards."""
    names = utterance_names(2, 2)
    files = {v: write_npz(tmp_path / f"{v}.npz", vectors(12, seed=n), [*NAMES[::2], *names[:2]] * 3)
             for n, v in enumerate(VARIANTS)}  # fmt: skip
    return import_cache(str(tmp_path / "cache"), files, kind="training", network="mine")


# ----------------------------------------------------------------------------------------------------------- export


def test_an_npz_holds_what_the_cache_holds(made: Cache, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    assert export_cache(made, out) == [out]
    with np.load(out, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["embeddings"], made.to_numpy())
        assert arrays["utterance"].tolist() == made.frame()["utterance"].tolist()
        assert arrays["draw"].tolist() == made.frame()["draw"].tolist()
        assert arrays["variants"].tolist() == list(VARIANTS)
    export_cache(made, str(tmp_path / "again.npz"))
    assert out.read_bytes() == (tmp_path / "again.npz").read_bytes()
    export_cache(made, out, variant="reverb")
    with np.load(out, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["embeddings"], made.to_numpy()[:, 2:])
        assert arrays["variants"].tolist() == ["reverb"]


def test_a_parquet_file_has_a_row_for_each_row_and_variant(made: Cache, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    export_cache(made, out)
    table = pd.read_parquet(out)
    assert list(table) == ["utterance", "speaker", "draw", "variant", "embedding"]
    assert table["variant"].tolist() == list(VARIANTS) * 12
    assert table["utterance"].tolist() == made.frame()["utterance"].repeat(3).tolist()
    assert table["draw"].tolist() == made.frame()["draw"].repeat(3).tolist()
    np.testing.assert_array_equal(np.stack(table["embedding"]), made.to_numpy().reshape(36, 3))
    export_cache(made, out, variant="noise")
    np.testing.assert_array_equal(np.stack(pd.read_parquet(out)["embedding"]), made.to_numpy()[:, 1])


def test_kaldiio_reads_our_archives(made: Cache, tmp_path: Path) -> None:
    out = tmp_path / "a folder" / "out.ark"
    assert export_cache(made, out, variant="noise") == [out, out.with_suffix(".scp")]
    frame = made.frame()
    keys = [f"{name}#{draw}" for name, draw in zip(frame["utterance"], frame["draw"], strict=True)]
    archive = dict(kaldiio.load_ark(str(out)))
    index = kaldiio.load_scp(str(out.with_suffix(".scp")))
    assert list(archive) == list(index) == keys
    assert "zwölf-十二/a.wav#2" in keys
    np.testing.assert_array_equal(np.stack(list(archive.values())), made.to_numpy()[:, 1])
    np.testing.assert_array_equal(np.stack([index[key] for key in keys]), made.to_numpy()[:, 1])


def test_means_go_under_the_name_of_the_utterance(made: Cache, tmp_path: Path) -> None:
    export_cache(made, tmp_path / "out.ark", variant="clean", mean=True)
    means = dict(kaldiio.load_ark(str(tmp_path / "out.ark")))
    assert list(means) == list(dict.fromkeys(made.frame()["utterance"]))
    expected = made.to_numpy()[:, 0].reshape(4, 3, 3).mean(axis=1)
    np.testing.assert_allclose(np.stack(list(means.values())), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["b c", "tab\there", "no-break\u00a0space", "line\u2028here"])
def test_a_name_with_white_space_is_refused_by_kaldi_and_kept_by_others(tmp_path: Path, name: str) -> None:
    source = write_npz(tmp_path / "in.npz", vectors(2), ["a", name])
    made = import_cache(tmp_path / "cache", {"clean": source}, kind="evaluation", network="mine")
    assert made.frame()["utterance"].tolist() == ["a", name]
    with pytest.raises(ExchangeError, match=re.escape(f"the utterance {f'{name}#0'!r} cannot be a key of Kaldi")):
        export_cache(made, tmp_path / "out.ark")
    assert not list(tmp_path.glob("*out*"))
    for extension in ("npz", "parquet"):
        export_cache(made, tmp_path / f"back.{extension}")
        back = read_vectors(tmp_path / f"back.{extension}")
        assert back.keys == [("a", 0), (name, 0)]
        np.testing.assert_array_equal(back.values, made.to_numpy()[:, 0])


@pytest.mark.parametrize(
    ("name", "options", "found"),
    [
        ("out.csv", {}, "has the extension .csv; expected .npz, .parquet, .ark"),
        ("out", {}, "has the extension of none"),
        ("out.npz", {"variant": "rain"}, "there is no variant 'rain'; expected clean, noise, reverb"),
        ("out.npz", {"mean": True}, "means are for Kaldi archives"),
        ("out.ark", {}, "an .ark file holds one variant, the cache 3; expected clean, noise, reverb"),
    ],
)
def test_an_export_that_cannot_be_is_refused(
    made: Cache, tmp_path: Path, name: str, options: dict[str, Any], found: str
) -> None:
    with pytest.raises(ExchangeError, match=re.escape(found)):
        export_cache(made, tmp_path / name, **options)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["out.npz", "out.parquet", "out.ark"])
def test_an_export_of_a_damaged_cache_leaves_nothing(made: Cache, tmp_path: Path, name: str) -> None:
    shard = made.path / "shard-00000.h5"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CacheDamagedError, match=r"shard-00000\.h5"):
        export_cache(made, tmp_path / name, variant="clean")
    assert not list(tmp_path.glob("*out*"))


# ---------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("key", ["utterance", "ids"])
def test_repeated_names_are_draws_in_order(tmp_path: Path, key: str) -> None:
    read = read_vectors(write_npz(tmp_path / "in.npz", vectors(5), ["a", "b", "a", "a", "b"], key))
    assert read.keys == [("a", 0), ("b", 0), ("a", 1), ("a", 2), ("b", 1)]
    np.testing.assert_array_equal(read.values, vectors(5))


def test_an_npy_file_takes_its_names_from_a_text_file(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", vectors(4).astype(np.float64))
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    read = read_vectors(str(tmp_path / "in.npy"), str(tmp_path / "names.txt"))
    assert [name for name, _ in read.keys] == NAMES
    np.testing.assert_array_equal(read.values, vectors(4))
    with pytest.raises(ExchangeError, match="has no names for its rows; give a text file with --ids"):
        read_vectors(tmp_path / "in.npy")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("text", [False, True])
def test_archives_of_kaldiio_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any, text: bool) -> None:
    monkeypatch.chdir(tmp_path)
    entries = {
        f"{name}#{draw}": vectors(1, seed=draw)[0].astype(dtype) for name in ("ΩΩ", "十二") for draw in (1, 0, 2)
    }
    kaldiio.save_ark("in.ark", entries, scp="in.scp", text=text)
    expected = np.stack(list(entries.values()))
    for name in ("in.ark", "in.scp"):
        read = read_vectors(Path(name))
        assert read.keys == [(key[:-2], int(key[-1])) for key in entries]
        np.testing.assert_allclose(read.values, expected, rtol=1e-5 if text else 0)


def ark(*entries: tuple[str, np.ndarray]) -> bytes:
    """An archive as the documentation of Kaldi has it."""
    head = b"\0BFV \4"
    return b"".join(f"{key} ".encode() + head + struct.pack("<i", v.size) + v.tobytes() for key, v in entries)


GOOD = ark(("a", vectors(1)[0]), ("b", vectors(1, seed=1)[0]))
BROKEN: dict[str, tuple[str, bytes, str]] = {
    "cut by a byte": ("x.ark", GOOD[:-1], "b claims 3 values, and the file ends at byte"),
    "cut in a header": ("x.ark", GOOD[:-14], "b is no vector"),
    "cut in a key": ("x.ark", GOOD + b"c", "there is no key"),
    "a huge claim": ("x.ark", b"a \0BFV \4" + struct.pack("<i", 2**31 - 1) + b"abcd", "a claims 2,147,483,647 values"),
    "a negative claim": ("x.ark", b"a \0BFV \4" + struct.pack("<i", -1) + b"abcd", "a claims -1 values"),
    "a matrix": ("x.ark", b"a \0BFM \4\2\0\0\0\4\1\0\0\0abcdefgh", "a is no vector but a matrix of 2 x 1"),
    "a matrix in words": ("x.ark", b"a  [\n  1 2\n  3 4 ]\n", "a is no vector but a matrix of 2 rows"),
    "a compressed matrix": ("x.ark", b"a \0BCM \4\1\0\0\0\4\1\0\0\0abcd", "a is no vector (it starts with 'CM')"),
    "all zero": ("x.ark", b"a [ 1 2 ]\nb [ 0 0 ]\n", "x.ark, row 2: 1 embedding is all zero: b"),
    "an index without offset": ("x.scp", b"a x.scp\n", "x.scp, row 1: a: a is no vector"),
    "an empty one in the middle": ("x.ark", b"a [ 1 2 ]\nb [ ]\n", "x.ark, row 2: the vector of b has 0 values"),
    "another dimension": ("x.ark", ark(("a", vectors(1)[0]), ("b", vectors(1, 4)[0])), "the vector of b has 4 values"),
    "a key twice": ("x.ark", ark(("a", vectors(1)[0]), ("a#0", vectors(1)[0])), "1 key is repeated: a#0"),
    "a gap": ("x.ark", ark(("a#0", vectors(1)[0]), ("a#2", vectors(1)[0])), "the draws of 1 key has gaps: a#2"),
    "not a number": ("x.ark", b"a [ 1 nan 2 ]\n", "1 embedding is not finite: a"),
    "beyond float32": ("x.ark", b"a [ 1 1e39 2 ]\n", "1 embedding is not finite: a"),
    "words": ("x.ark", b"a [ 1 two ]\n", "a holds something else than numbers"),
    "no brackets": ("x.ark", b"a 1 2\n", "a is no vector"),
    "empty vectors": ("x.ark", b"a [ ]\n", "holds no embeddings"),
    "no entry": ("x.ark", b"", "holds no embeddings"),
    "a key in Latin-1": ("x.ark", "ü [ 1 ]\n".encode("latin-1"), "the key is not UTF-8"),
    "a command": ("x.scp", b"a copy-vector x.ark ark:- |\n", "a comes from a command or a pipe"),
    "a command first": ("x.scp", b"a | cat\n", "a comes from a command or a pipe"),
    "standard input": ("x.scp", b"a -\n", "a comes from a command or a pipe"),
    "a range": ("x.scp", b"a x.ark:2[0:1]\n", "a names a part of a matrix"),
    "a key alone": ("x.scp", b"a\n", "is no line of an index"),
    "a missing archive": ("x.scp", b"a nowhere.ark:2\n", "cannot be read (no such file or directory)"),
    "an offset outside": ("x.scp", b"a x.scp:999999999999999999\n", "a is no vector"),
    "a long offset": ("x.scp", b"a x.scp:" + b"9" * 5000 + b"\n", "cannot be read (file name too long)"),
    "no archive of arrays": ("x.npz", b"PK no", "cannot be read"),
    "an empty file": ("x.npz", b"", "cannot be read"),
    "no Parquet": ("x.parquet", b"PAR1", "cannot be read"),
    "another extension": ("x.txt", b"", "has the extension .txt; expected .npz, .npy, .parquet, .ark, .scp"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    name, data, found = BROKEN[case]
    Path(name).write_bytes(data)
    with pytest.raises(ExchangeError) as caught:
        read_vectors(Path(name))
    assert found in str(caught.value)
    assert name in str(caught.value) or "missing" in case or "long" in case


MANY = ark(*((f"key{number}", vectors(1, 400, seed=number)[0]) for number in range(64)))


@pytest.mark.parametrize("name", ["x.ark", "x.scp"])
@pytest.mark.parametrize("harm", ["cut", "overwritten", "replaced"])
def test_an_archive_that_changes_meanwhile_is_refused_or_read_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, harm: str
) -> None:
    monkeypatch.chdir(tmp_path)
    kaldiio.save_ark("x.ark", {f"key{n}": vectors(1, 400, seed=n)[0] for n in range(64)}, scp="x.scp")
    assert Path("x.ark").read_bytes() == MANY
    entries = (read_ark if name == "x.ark" else read_scp)(Path(name))
    found = [next(entries)]
    if harm == "replaced":
        Path("y.ark").write_bytes(MANY[::-1])
        Path("y.ark").replace("x.ark")
        found += list(entries)
        assert all((vector == vectors(1, 400, seed=n)).all() for n, (_, vector) in enumerate(found))
    else:
        if harm == "cut":
            os.truncate("x.ark", 50_000)
        else:
            Path("x.ark").write_bytes(MANY[::-1])
        with pytest.raises(ExchangeError):
            list(entries)


def test_an_index_that_is_replaced_while_its_archives_are_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_kaldi(Path("x.ark"), [("a", vectors(1)[0]), ("b", vectors(1, seed=1)[0])])
    entries = read_scp(Path("x.scp"))
    next(entries)
    write_kaldi(Path("x.ark"), [("c", vectors(1, seed=2)[0]), ("d", vectors(1, seed=3)[0])])
    with pytest.raises(ExchangeError, match="the index was replaced while it was read"):
        list(entries)
    assert [key for key, _ in read_scp(Path("x.scp"))] == ["c", "d"]


def test_an_index_may_go_to_and_fro_between_more_archives_than_may_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = len(list(Path("/proc/self/fd").iterdir())) + 20
    for number in range(count):
        Path(f"{number}.ark").write_bytes(ark(("a", vectors(1, seed=number)[0])))
    Path("x.scp").write_text("".join(f"u{n}-{turn} {n}.ark:2\n" for turn in range(2) for n in range(count)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        read = read_vectors("x.scp")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    embeddings = read.values  # noqa: PD011
    np.testing.assert_array_equal(embeddings[count + 7], vectors(1, seed=7)[0])
    Path("y.ark").write_bytes(Path("3.ark").read_bytes())
    entries = read_scp(Path("x.scp"))
    collections.deque(itertools.islice(entries, count), 0)
    Path("y.ark").replace("3.ark")
    with pytest.raises(ExchangeError, match="the archive was replaced while it was read"):
        list(entries)


def test_an_index_without_offsets_names_vectors_or_an_archive_with_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("both.ark").write_bytes(GOOD)
    Path("one.vec").write_bytes(GOOD[2 : len(GOOD) // 2])
    Path("words.vec").write_bytes(b" [ 1 2 3 ]\n")
    Path("x.scp").write_text("b both.ark\nc one.vec\na both.ark\nd words.vec\n")
    read = read_vectors("x.scp")
    assert [name for name, _ in read.keys] == ["b", "c", "a", "d"]
    np.testing.assert_array_equal(read.values, [*vectors(1, seed=1), *vectors(1), *vectors(1), [1, 2, 3]])
    Path("x.scp").write_text("a both.ark\nc both.ark\n")
    with pytest.raises(ExchangeError, match=r"x\.scp, row 2: c: .* no offset, and the archive no key c"):
        read_vectors("x.scp")
    Path("two.vec").write_bytes(GOOD[2:])
    Path("x.scp").write_text("a two.vec\n")
    with pytest.raises(ExchangeError, match=r"x\.scp, row 1: a: something follows the vector"):
        read_vectors("x.scp")


@pytest.mark.parametrize("text", [False, True])
def test_matrices_of_one_row_are_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bool) -> None:
    monkeypatch.chdir(tmp_path)
    kaldiio.save_ark("in.ark", {name: vectors(1, seed=n) for n, name in enumerate("ab")}, scp="in.scp", text=text)
    for name in ("in.ark", "in.scp"):
        read = read_vectors(name)
        assert read.keys == [("a", 0), ("b", 0)]
        np.testing.assert_allclose(read.values, [*vectors(1), *vectors(1, seed=1)], rtol=1e-5)


def test_an_npz_may_hold_an_array_for_each_utterance(tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, **{"id1/a.wav": vectors(1)[0], "ΩΩ": vectors(1, seed=1)})
    read = read_vectors(path)
    assert read.keys == [("id1/a.wav", 0), ("ΩΩ", 0)]
    np.testing.assert_array_equal(read.values, [*vectors(1), *vectors(1, seed=1)])
    for other, found in (
        (vectors(1, 4), "row 2: the vector of b has 4 values"),
        (vectors(2), "has the arrays a, b; b has shape"),
    ):
        np.savez(path, a=vectors(1), b=other)
        with pytest.raises(ExchangeError, match=found):
            read_vectors(path)


ROWS = {
    "null": ([1.0, 2.0], None, "that of b is null"),
    "null first": (None, [1.0, 2.0], "that of a is null"),
    "empty": ([1.0, 2.0], [], "that of b is 0 values"),
    "long": ([1.0, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "that of b is 6 values"),
    "a null inside": ([1.0, 2.0], [1.0, None], "1 embedding is not finite: b"),
    "all zero": ([1.0, 2.0], [0.0, 0.0], "1 embedding is all zero: b"),
    "too long": ([1.0, 2.0], [0.0, -1e25], "1 embedding is too short or too long (the largest entry is beyond 1e-10"),
    "too short": ([1.0, 2.0], [1e-30, 1e-30], "1 embedding is too short or too long (the largest entry is"),
}


COLUMNS = [("list", case) for case in ROWS] + [("large_list", case) for case in ROWS]
COLUMNS += [("fixed", case) for case in ROWS if case not in ("empty", "long")]  # whose lists have one length


@pytest.mark.parametrize(("kind", "case"), COLUMNS)
def test_rows_of_parquet_do_not_move(tmp_path: Path, kind: str, case: str) -> None:
    first, second, found = ROWS[case]
    column = {"list": pa.list_, "large_list": pa.large_list, "fixed": lambda of: pa.list_(of, 2)}[kind](pa.float32())
    rows = [first, second, [3.0, 4.0], [5.0, 6.0]]
    table = pa.table({"utterance": list("abcd"), "embedding": pa.array(rows, column)})
    pq.write_table(table, tmp_path / "in.parquet")
    row = 1 if case == "null first" else 2
    with pytest.raises(ExchangeError, match=re.escape(found)) as caught:
        read_vectors(tmp_path / "in.parquet")
    assert caught.value.row == row
    pq.write_table(table.slice(2), tmp_path / "in.parquet")
    np.testing.assert_array_equal(read_vectors(tmp_path / "in.parquet").values, [[3, 4], [5, 6]])


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"utterance": ["a"]}, "lacks the column embedding"),
        ({"utterance": ["a"], "embedding": [1.0]}, "the column embedding holds double"),
        ({"utterance": ["a", None], "embedding": [[1.0], [2.0]]}, "row 2: 1 row has a name that is no text"),
        ({"utterance": ["a", "a"], "embedding": [[1.0], [2.0]], "draw": [0, 2]}, "the draws of 1 key has gaps: a#2"),
        ({"utterance": ["a", "a"], "embedding": [[1.0], [2.0]], "draw": [1, 1]}, "1 key is repeated: a#1"),
        ({"utterance": ["a", "a"], "embedding": [[1.0], [2.0]], "draw": [0, None]}, "'draw' has shape (2,) and type"),
        ({"utterance": ["a", "a"], "embedding": [[1.0], [2.0]], "draw": [0.0, 1.0]}, "(2,) and type float64"),
        (
            {"utterance": ["a", "a"], "embedding": [[1.0], [2.0]], "draw": np.array([0, 2**63], "u8")},
            "the draws of 1 key has gaps",
        ),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, columns: dict[str, Any], found: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    with pytest.raises(ExchangeError, match=re.escape(found)):
        read_vectors(tmp_path / "in.parquet")


@pytest.mark.parametrize("extension", ["npz", "parquet"])
def test_draws_are_those_of_their_column(made: Cache, tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out.{extension}"
    export_cache(made, path, variant="noise")
    whole = read_vectors(path)
    if extension == "npz":
        with np.load(path) as arrays:
            np.savez(path, **{name: arrays[name][::-1] for name in ("embeddings", "utterance", "draw")})
    else:
        table = pq.read_table(path)
        pq.write_table(table.take(list(range(len(table)))[::-1]), path)
    turned = read_vectors(path)
    assert turned.keys == whole.keys[::-1]
    np.testing.assert_array_equal(np.flip(turned.values, axis=0), whole.values)


@pytest.mark.parametrize("suffix", ["ark", "parquet", "npy"])
def test_a_name_with_nul_is_refused_as_numpy_would_drop_it(tmp_path: Path, suffix: str) -> None:
    path, names = tmp_path / f"in.{suffix}", ["a", "a\0"]
    path.write_bytes(ark(*zip(names, vectors(2), strict=True)))
    (tmp_path / "ids").write_text("\n".join(names))
    if suffix == "parquet":
        pq.write_table(pa.table({"utterance": names, "embedding": list(vectors(2))}), path)
    elif suffix == "npy":
        np.save(path, vectors(2))
    with pytest.raises(ExchangeError, match="row 2: 1 row has an empty name, or one with NUL or half a character"):
        read_vectors(path, tmp_path / "ids")


def test_a_name_with_half_a_character_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", embeddings=vectors(2), utterance=["a", "b\udcff"])
    with pytest.raises(ExchangeError, match="row 2: 1 row has an empty name, or one with NUL or half a character"):
        read_vectors(tmp_path / "in.npz")


def test_embeddings_of_more_values_than_any_network_gives_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", embeddings=np.ones((2, 70_000), np.float32), utterance=["a", "b"])
    with pytest.raises(ExchangeError, match="embeddings have 70,000 values; expected at most 65,536"):
        read_vectors(tmp_path / "in.npz")


def test_no_command_is_run(tmp_path: Path) -> None:
    for number, line in enumerate((f"a touch {tmp_path}/made |", f"a | touch {tmp_path}/made")):
        path = tmp_path / f"{number}.scp"
        path.write_text(line + "\n")
        with pytest.raises(ExchangeError, match="which seedpipe does not run"):
            read_vectors(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"embeddings": vectors()}, "lacks an array"),
        ({"utterance": np.array(["a"])}, "lacks an array"),
        ({"embeddings": vectors(3), "ids": np.array(["a"])}, "has 3 rows and 1 name"),
        ({"embeddings": vectors(2), "ids": np.array(["a", ""])}, "1 row has an empty name"),
        ({"embeddings": vectors(2), "ids": ["a", "a"], "draw": np.zeros(2)}, "'draw' has shape (2,) and type float64"),
        ({"embeddings": vectors(2), "ids": ["a", "a"], "draw": np.array([0, 2**63], "u8")}, "the draws of 1 key has"),
        ({"embeddings": vectors(2), "ids": np.array([1, 2])}, "names have shape (2,) and type int64"),
        ({"embeddings": np.ones((1, 2), int), "ids": np.array(["a"])}, "embeddings have shape (1, 2) and type int64"),
        ({"embeddings": np.ones(2), "ids": np.array(["a", "b"])}, "embeddings have shape (2,)"),
        ({"embeddings": np.ones((1, 2, 3)), "ids": np.array(["a"])}, "holds 2 variants; expected one; export one"),
        ({"embeddings": np.ones((0, 2)), "ids": np.array([], str)}, "holds no embeddings"),
        ({"embeddings": np.full((7, 2), np.inf), "ids": np.array(list("abcdefg"))}, "not finite: a, b, c, d, e, ...;"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_used_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], found: str) -> None:
    np.savez(tmp_path / "in.npz", **arrays)
    with pytest.raises(ExchangeError) as caught:
        read_vectors(tmp_path / "in.npz")
    assert found in str(caught.value)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", embeddings=vectors(), utterance=np.array(NAMES, dtype=object))
    with pytest.raises(ExchangeError, match="cannot be read"):
        read_vectors(tmp_path / "in.npz")


def _outcome(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        read = read_vectors(path)
    except ExchangeError:
        return
    values = np.asarray(read.values)
    assert len(read.keys) == len(values)
    assert values.nbytes <= 8 * len(data), "no more than the file can hold"
    assert np.isfinite(values).all()


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.binary(max_size=80))
def test_any_bytes_are_an_archive_or_an_error(tmp_path: Path, data: bytes) -> None:
    _outcome(tmp_path / "x.ark", b"a " + data)


@FUZZ
@given(st.data())
def test_damaged_archives_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    bad = bytearray(GOOD[: data.draw(st.integers(1, len(GOOD)))])
    for place in data.draw(st.lists(st.integers(0, len(bad) - 1), max_size=4)):
        bad[place] = data.draw(st.integers(0, 255))
    _outcome(tmp_path / "x.ark", bytes(bad))


def _npz_bytes() -> bytes:
    file = io.BytesIO()
    np.savez(file, embeddings=vectors(2), utterance=np.array(["a", "b"]))
    return file.getvalue()


@FUZZ
@given(st.data())
def test_damaged_arrays_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    bad = bytearray(_npz_bytes())
    for place in data.draw(st.lists(st.integers(0, len(bad) - 1), min_size=1, max_size=4)):
        bad[place] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, on headers of its first versions
        _outcome(tmp_path / "x.npz", bytes(bad[: data.draw(st.integers(1, len(bad)))]))


# ----------------------------------------------------------------------------------------------------------- import


def test_pairs_are_matched_by_name_and_draw(tmp_path: Path) -> None:
    clean, noisy = vectors(5), vectors(5, seed=1)
    names = ["b", "a", "b", "a", "c"]
    order = [4, 1, 0, 3, 2]
    files = {
        "noise": write_npz(tmp_path / "noisy.npz", noisy[order], [names[row] for row in order]),
        "clean": write_npz(tmp_path / "clean.npz", clean, names),
    }
    made = import_cache(tmp_path / "cache", files, kind="training", network="mine")
    made.verify()
    rows = [0, 2, 1, 3, 4]  # the rows of an utterance become neighbours
    assert made.info.variants == ("clean", "noise")
    assert made.frame()["utterance"].tolist() == [names[row] for row in rows]
    assert made.frame()["draw"].tolist() == [0, 1, 0, 1, 0]
    np.testing.assert_array_equal(made.to_numpy(), np.stack([clean[rows], noisy[rows]], axis=1))
    assert (made.info.rows, made.info.utterances, made.info.features, made.info.seed) == (5, 3, {"imported": 1}, 0)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_export_comes_back(made: Cache, tmp_path: Path) -> None:
    for extension in ("npz", "parquet", "ark"):
        files = {variant: tmp_path / f"{variant}.back.{extension}" for variant in VARIANTS}
        for variant, path in files.items():
            export_cache(made, path, variant=variant)
        back = import_cache(tmp_path / f"back-{extension}", files, kind="training", network="mine")
        np.testing.assert_array_equal(back.to_numpy(), made.to_numpy())
        assert back.frame().equals(made.frame())
        assert back.info.fingerprint == made.info.fingerprint, "the same embeddings, whatever the file"


def test_equal_files_give_equal_caches_and_others_do_not(tmp_path: Path) -> None:
    def imported(out: str, values: np.ndarray, digest: str = "") -> Cache:
        path = write_npz(tmp_path / "in.npz", values, NAMES)
        return import_cache(
            tmp_path / out, {"clean": path}, kind="evaluation", network="mine", network_digest=digest
        )  # fmt: skip

    one, two = imported("one", vectors()), imported("two", vectors())
    assert folder_bytes(one.path) == folder_bytes(two.path)
    assert imported("three", vectors(seed=1)).info.fingerprint != one.info.fingerprint
    other = imported("four", vectors(), "of other weights")
    assert other.info.network.fingerprint != one.info.network.fingerprint
    assert imported("one", vectors(seed=1)).to_numpy()[0, 0, 0] == vectors(seed=1)[0, 0], "an import is replaced"


def test_large_imports_are_cut_between_utterances(tmp_path: Path) -> None:
    names = [f"u{row // 3}" for row in range(9_000)]
    path = write_npz(tmp_path / "in.npz", vectors(9_000, 1), names)
    made = import_cache(tmp_path / "cache", {"clean": path}, kind="evaluation", network="mine")
    assert [shard.rows for shard in made.info.shards] == [4_098, 4_098, 804]
    np.testing.assert_array_equal(made.to_numpy()[:, 0], vectors(9_000, 1))


def pair(clean: list[str], noisy: list[str], dimension: int = 3) -> Callable[[Path], dict[str, Path]]:
    return lambda folder: {
        "clean": write_npz(folder / "clean.npz", vectors(len(clean)), clean),
        "noise": write_npz(folder / "noisy.npz", vectors(len(noisy), dimension), noisy),
    }


@pytest.mark.parametrize(
    ("files", "kind", "found"),
    [
        (pair(["a", "b", "c"], ["a"]), "training", "noisy.npz: 2 rows are missing: b, c; expected the rows of "),
        (pair(["a"], ["a", "b"]), "training", "noisy.npz: 1 row is not among the clean ones: b;"),
        (pair(["a", "b"], ["a", "c"]), "training", "1 row is missing: b and 1 row is not among the clean ones: c"),
        (pair(["a", "a"], ["a"]), "training", "1 row is missing: a#1"),
        (pair(["a"], ["a"], 4), "training", "noisy.npz: embeddings have dimension 4; expected 3, as in "),
        (pair(["a", "a", "b"], ["a", "a", "b"]), "evaluation", "has another number of rows than a (2): b (1)"),
        (lambda folder: {"clean": write_npz(folder / "a.npz", vectors(1), ["a"])}, "training", "no noisy embeddings"),
    ],
)  # fmt: skip
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, files: Callable[[Path], dict[str, Path]], kind: Any, found: str
) -> None:
    with pytest.raises(ExchangeError) as caught:
        import_cache(tmp_path / "cache", files(tmp_path), kind=kind, network="mine")
    assert found in str(caught.value)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".npz"], "nothing was written"


def test_an_extracted_cache_or_a_foreign_folder_is_not_replaced(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "in.npz", vectors(), NAMES)
    extracted = evaluation_cache(tmp_path / "extracted")
    before = folder_bytes(extracted.path)
    with pytest.raises(CacheError, match="holds a cache that was extracted; remove it"):
        import_cache(extracted.path, {"clean": path}, kind="evaluation", network="mine")
    assert folder_bytes(extracted.path) == before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(CacheError, match=r"is no cache: it holds chapter\.tex"):
        import_cache(tmp_path / "thesis", {"clean": path}, kind="evaluation", network="mine")


def test_an_import_can_be_trained_on_and_scored(tmp_path: Path) -> None:
    def files(rows: np.ndarray, names: list[str], prefix: str) -> dict[str, Path]:
        return {
            variant: write_npz(tmp_path / f"{prefix}-{variant}.npz", rows[:, number], names)
            for number, variant in enumerate(VARIANTS)
        }

    rows = draw_embeddings(30, 4, 2, seed=0)
    names = np.repeat(utterance_names(30, 4), 2).tolist()
    training = import_cache(tmp_path / "train", files(rows, names, "train"), kind="training", network="toy")
    enhancer, result = train(training, tmp_path / "model", QUICK)
    assert result.held_out_eer is not None
    assert result.held_out_eer[1] < result.held_out_eer[0]

    rows = draw_embeddings(10, 4, 2, seed=1)
    names = np.repeat(utterance_names(10, 4), 2).tolist()
    scored = import_cache(tmp_path / "eval", files(rows, names, "eval"), kind="evaluation", network="toy")
    assert scored.info.features["crops"] == 2
    trials = read_trials(write_trials(tmp_path / "trials.txt"))
    params = ScoreParams(methods=("cosine",), bootstrap=100)
    (evaluation,), table = evaluate(cache.open_cache(scored.path), enhancer, trials, params, "toy")
    assert [condition.condition for condition in evaluation.conditions] == list(VARIANTS)
    assert len(table) == len(trials)
    assert scored.info.network.dimension == D
