"""Files made on purpose, read in a process with little memory, with a deadline for each; a line of JSON for each.

Run as ``python hostile.py FOLDER``. What a case comes to is ``valid``, ``refused: TEXT`` (an error of ours),
``foreign: TEXT`` (an error of somebody else's) or ``died: SIGNAL``.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import io
import itertools
import json
import os
import pickle
import resource
import signal
import struct
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MEMORY = 2**30  # bytes besides what the imports take
SECONDS = 120  # of a machine that may be busy; a read takes less than one
HUGE = 2**60
Case = Callable[[Path], object]
CASES: dict[str, Case] = {}


class Evil:
    """What writes a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.command = f"touch {folder / 'ran'}"

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


def case(name: str) -> Callable[[Case], Case]:
    def note(function: Case) -> Case:
        CASES[name] = function
        return function

    return note


# --------------------------------------------------------------------------------------------------------------- lists


def _list(name: str, content: bytes) -> None:
    def read(folder: Path) -> None:
        from seedpipe.scoring.trials import read_trials

        path = folder / "trials.txt"
        path.write_bytes(content)
        read_trials(path)

    CASES[name] = read


_list("list: words parted by what is no white space", b"1 a b\n1\x00a b\n0 a c\n")
_list("list: words parted by a file separator", b"1 a b\n0\x1ca\x1cc\n")
_list("list: csv of a header alone", b"label,enrol,test\n")
_list("list: csv of a quote that never ends", b'label,enrol,test\n1,"' + b"x" * 200_000)
_list("list: gzip with damaged contents", gzip.compress(b"1 a b\n0 a c\n" * 99)[:20] + b"\xff" * 40)
_list("list: gzip of a gigabyte of zeros", gzip.compress(b"\0" * 2**28) * 4)
_list("list: gzip of a gigabyte of trials", gzip.compress(b"1 a b\n0 a c\n" * 2**22) * 20)
_list("list: a line of ten megabytes", b"1 a " + b"b" * 10_000_000)


@case("manifest: names with NUL and numbers beyond 64 bits")
def _manifest(folder: Path) -> None:
    from readers import READERS

    reader = READERS["manifest.csv"]
    path = reader.make(folder)
    good = path.read_text(encoding="utf-8")
    path.write_text(good.replace("a.wav", "a\0.wav", 1).replace("8000", str(2**64 - 1)), encoding="utf-8")
    reader.read(path)


# ------------------------------------------------------------------------------------------------------------ settings


def _yaml(name: str, text: str) -> None:
    def read(folder: Path) -> None:
        from seedpipe.params import load_params

        path = folder / "params.yaml"
        path.write_text(text, encoding="utf-8")
        load_params(path)

    CASES[name] = read


_LETTERS = "abcdefghijkl"
_LINES = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise(_LETTERS))
_MAPS = "".join(
    f"{b}: &{b} {{{', '.join(f'k{n}: *{a}' for n in range(9))}}}\n" for a, b in itertools.pairwise(_LETTERS)
)
_yaml("params: aliases of aliases, lists", f"a: &a [x, x]\n{_LINES}")
_yaml("params: aliases of aliases, mappings", f"a: &a {{x: 1}}\n{_MAPS}")
_yaml("params: an alias in itself", "&a {train: *a}")
_yaml("params: brackets in brackets", "[" * 100_000)
_yaml("params: a number of a hundred thousand digits", f"train: {{seed: {'9' * 100_000}}}")
_yaml("params: a Python object", "train: !!python/object/apply:os.system ['touch ran']")
_yaml("params: a network outside of its folder", "extract: {networks: ['../../x']}")
_yaml("params: a list outside of its folder", "manifest: {evaluations: ['../x']}")
_yaml("params: an absolute network", "extract: {networks: ['/tmp/x']}")


@case("params: a link to a device without end")
def _device(folder: Path) -> None:
    from seedpipe.params import load_params

    (folder / "params.yaml").symlink_to("/dev/zero")
    load_params(folder / "params.yaml")


@case("calibration: a device without end")
def _calibration_device(folder: Path) -> None:
    from seedpipe.scoring.calibration import load_calibration

    (folder / "calibration.json").symlink_to("/dev/zero")
    load_calibration(folder / "calibration.json")


@case("calibration: brackets in brackets")
def _calibration(folder: Path) -> None:
    from seedpipe.scoring.calibration import load_calibration

    (folder / "calibration.json").write_text("[" * 100_000)
    load_calibration(folder / "calibration.json")


# -------------------------------------------------------------------------------------------------------------- arrays


def _npy(header: str, data: bytes = b"\0" * 24) -> bytes:
    encoded = header.encode("latin1")
    encoded += b" " * ((-len(encoded) - 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(encoded)) + encoded + data


def _header(descr: str = "'<f4'", shape: str = "(2, 3)", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


HEADERS = {
    "2**60 rows": _header(shape=f"({HUGE}, 3)"),
    "2**33 rows": _header(shape=f"({2**33}, 3)"),
    "2**70 rows": _header(shape=f"({2**70}, 3)"),
    "rows and columns that overflow to nothing": _header(shape=f"({2**32}, {2**32})"),
    "fewer rows than none": _header(shape="(-2, 3)"),
    "objects": _header("'|O'"),
    "texts of no length, 2**33 of them": _header("'<U0'", f"({2**33},)"),
    "a text of a gigabyte": _header("'<U250000000'", "(2,)"),
    "an empty type": _header("()"),
    "a shape of truth values": _header(shape="(True, 3)"),
    "brackets in brackets": "(" * 5000,
    "a header that ends too soon": "{'descr': '<f4', 'shape': (2,",
    "a sum in the place of a number": _header(shape="(1+1, 3)"),
}


def _saved(values: Any) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def _archive(path: Path, embeddings: bytes, names: bytes, packing: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("embeddings.npy", embeddings)
        archive.writestr("utterance.npy", names)
    return path


def _array(where: str, header: str) -> Case:
    def read(folder: Path) -> None:
        import numpy as np

        from seedpipe.cache.exchange import read_vectors

        good = {"embeddings": _saved(np.ones((2, 3), "f4")), "names": _saved(np.array(["a", "b"]))}
        if where == "npy":
            (folder / "in.npy").write_bytes(_npy(header))
            (folder / "ids.txt").write_text("a\nb")
            read_vectors(folder / "in.npy", folder / "ids.txt")
        else:
            read_vectors(_archive(folder / "in.npz", **(good | {where: _npy(header)})))

    return read


for _name, _text in HEADERS.items():
    for _where in ("npy", "embeddings", "names"):
        CASES[f"{_where}: {_name}"] = _array(_where, _text)


@case("npz: a hundred megabytes of zeros in a hundred kilobytes")
def _bomb(folder: Path) -> None:
    import numpy as np

    from seedpipe.cache.exchange import read_vectors

    zeros = _npy(_header(shape=f"({10**7}, 3)"), b"\0" * (12 * 10**7))
    path = _archive(folder / "in.npz", zeros, _saved(np.array(["a"])), zipfile.ZIP_DEFLATED)
    read_vectors(path)


@case("npz: an array without an archive")
def _bare(folder: Path) -> None:
    import numpy as np

    from seedpipe.cache.exchange import read_vectors

    (folder / "in.npz").write_bytes(_saved(np.ones((2, 3), "f4")))
    read_vectors(folder / "in.npz")


@case("npz: names that are pickled")
def _pickled_names(folder: Path) -> None:
    import numpy as np

    from seedpipe.cache.exchange import read_vectors

    names = _saved(np.array([Evil(folder), Evil(folder)], dtype=object))
    read_vectors(_archive(folder / "in.npz", _saved(np.ones((2, 3), "f4")), names))


@case("npy: embeddings that are pickled")
def _pickled_array(folder: Path) -> None:
    import numpy as np

    from seedpipe.cache.exchange import read_vectors

    (folder / "in.npy").write_bytes(_saved(np.array([Evil(folder)], dtype=object)))
    (folder / "ids.txt").write_text("a")
    read_vectors(folder / "in.npy", folder / "ids.txt")


@case("npz: a pickle under its name")
def _pickle(folder: Path) -> None:
    from seedpipe.cache.exchange import read_vectors

    (folder / "in.npz").write_bytes(pickle.dumps(Evil(folder)))
    read_vectors(folder / "in.npz")


@case("npz: members that would lie outside")
def _traversal(folder: Path) -> None:
    import numpy as np

    from seedpipe.cache.exchange import read_vectors

    path = _archive(folder / "in.npz", _saved(np.ones((2, 3), "f4")), _saved(np.array(["../../a", "/b"])))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../outside.npy", b"x")
    read_vectors(path)


@case("parquet: a row a billion times")
def _rows(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from seedpipe.cache.exchange import read_vectors

    part = pa.table({"utterance": pa.array(["a"] * 2**20), "embedding": pa.array([[0.0]] * 2**20)})
    with pq.ParquetWriter(folder / "in.parquet", part.schema) as writer:
        for _ in range(24):
            writer.write_table(part)
    read_vectors(folder / "in.parquet")


# --------------------------------------------------------------------------------------------------------------- Kaldi


def _ark(name: str, content: bytes) -> None:
    def read(folder: Path) -> None:
        from seedpipe.cache.exchange import read_vectors

        (folder / "in.ark").write_bytes(content)
        read_vectors(folder / "in.ark")

    CASES[name] = read


def _scp(name: str, lines: Callable[[Path], str]) -> None:
    def read(folder: Path) -> None:
        from seedpipe.cache.exchange import read_vectors

        (folder / "in.ark").write_bytes(b"k \0BFV \4" + struct.pack("<i", 10**6) + b"\0\0\x80?" * 10**6)
        os.mkfifo(folder / "pipe")
        (folder / "in.scp").write_text(lines(folder))
        read_vectors(folder / "in.scp")

    CASES[name] = read


_ark("ark: a vector of 2**31 values", b"k \0BFV \4" + struct.pack("<i", 2**31 - 1))
_ark("ark: a vector of fewer values than none", b"k \0BDV \4" + struct.pack("<i", -5))
_ark("ark: a matrix of 2**31 by 2**31", b"k \0BFM " + 2 * (b"\4" + struct.pack("<i", 2**31 - 1)))
_ark("ark: a text vector beyond all numbers", b"k [ 1 1e999 ]\n")
_scp("scp: a name with NUL", lambda _: "k a\0b:3\n")
_scp("scp: a folder", lambda folder: f"k {folder}:3\n")
_scp("scp: a pipe that nobody writes to", lambda folder: f"k {folder}/pipe:0\n")
_scp("scp: a device without end", lambda _: "k /dev/zero:0\n")
_scp("scp: a file of somebody else", lambda _: "k /etc/passwd:0\n")
_scp("scp: a command", lambda folder: f"k touch {folder}/ran |\n")
_scp("scp: one vector three thousand times", lambda folder: "".join(f"k{n} {folder}/in.ark:2\n" for n in range(3000)))


# --------------------------------------------------------------------------------------------------------------- cache


def _claim(name: str, change: Callable[[dict[str, Any]], object]) -> None:
    def read(folder: Path) -> None:
        from readers import READERS, read_cache, seal

        path = READERS["cache manifest"].make(folder)
        document = json.loads(path.read_bytes())
        change(document)
        seal(document, path.parent)
        read_cache(path)

    CASES[name] = read


def _rows_of(rows: int, size: int) -> Callable[[dict[str, Any]], object]:
    def change(document: dict[str, Any]) -> None:
        document["rows"] = rows
        document["shards"] = document["shards"][:1]
        document["shards"][0] |= {"rows": rows, "bytes": size}

    return change


_claim("cache: variants of other names", lambda document: document.update(variants=["clean", "reverb", "noise"]))
_claim("cache: 2**40 rows in a few bytes", _rows_of(2**40, 10_000))
_claim("cache: 2**40 rows in 2**60 bytes that are not there", _rows_of(2**40, HUGE))
_claim("cache: embeddings of 2**40 values", lambda document: document["network"].update(dimension=2**40))
_claim("cache: a shard elsewhere", lambda document: document["shards"][0].update(file="../shard-00000.h5"))
_claim("cache: an absolute shard", lambda document: document["shards"][0].update(file="/etc/passwd"))
_claim("cache: a sample rate that is a word", lambda document: document.update(resampled={"many": 1}))
_claim("cache: a number of crops that is a word", lambda document: document["features"].update(crops="many"))
_claim("cache: no number of crops", lambda document: document.update(features={}))


def _shard(name: str, change: Callable[[Any, Path], object]) -> None:
    def read(folder: Path) -> None:
        import h5py
        from readers import READERS, read_shard

        path = READERS["shard"].make(folder)
        with h5py.File(path, "r+") as shard:
            del shard["draw"]
            change(shard, folder)
        read_shard(path)

    CASES[name] = read


def _external(shard: Any, folder: Path) -> None:
    import h5py

    with h5py.File(folder / "other.h5", "w") as other:
        other["draw"] = list(range(12))
    shard["draw"] = h5py.ExternalLink(str(folder / "other.h5"), "draw")


def _virtual(shard: Any, folder: Path) -> None:
    import h5py

    layout = h5py.VirtualLayout(shape=(12,), dtype="i4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "draw", shape=(12,))
    shard.create_virtual_dataset("draw", layout)


def _raw(shard: Any, folder: Path) -> None:
    (folder / "raw").write_bytes(b"\0" * 48)
    shard.create_dataset("draw", (12,), "i4", external=[(str(folder / "raw"), 0, 48)])


def _texts(shard: Any, _: Path) -> None:
    import h5py

    shard.create_dataset("draw", data=["x"] * 12, dtype=h5py.string_dtype())


_shard("shard: a group for a dataset", lambda shard, _: shard.create_group("draw"))
_shard("shard: numbers that are texts of any length", _texts)
_shard("shard: numbers that are texts", lambda shard, _: shard.create_dataset("draw", data=[b"x"] * 12))
_shard("shard: a link to another file", _external)
_shard("shard: a dataset made of another file", _virtual)
_shard("shard: a dataset that lies in another file", _raw)
_shard("shard: 2**60 rows in chunks", lambda shard, _: shard.create_dataset("draw", (HUGE,), "i4", chunks=(1024,)))


@case("shard: the heap of its texts damaged")
def _heap(folder: Path) -> None:
    """HDF5 does not come back from reading such a heap."""
    from readers import READERS, read_shard

    path = READERS["shard"].make(folder)
    data = bytearray(path.read_bytes())
    place = data.index(b"GCOL") + 16
    data[place : place + 64] = b"\0" * 64
    path.write_bytes(data)
    read_shard(path)


# -------------------------------------------------------------------------------------------------- models and networks


def _write(path: Path, document: dict[str, Any]) -> None:
    from seedpipe.files import sealed

    path.write_text(json.dumps(sealed(document)))


def _config(name: str, change: Callable[[dict[str, Any]], object], reader: str = "config.json") -> None:
    def read(folder: Path) -> None:
        from readers import READERS, read_model

        path = READERS[reader].make(folder)
        document = json.loads(path.read_bytes())
        change(document)
        _write(path, document)
        read_model(path)

    CASES[name] = read


def _normalize_nothing(document: dict[str, Any], dimension: int) -> None:
    document["network"]["dimension"] = dimension
    document["normalization"] = {"kind": "length", "scale": 1.0}


_config("model: embeddings of 2**40 values", lambda document: _normalize_nothing(document, 2**40))
_config("model: embeddings of 65,536 values", lambda document: _normalize_nothing(document, 2**16))
_config("model: a regression with timesteps", lambda document: document.update(kind="regression"))
_config("model: 2**60 noises for each embedding", lambda document: document["train"].update(inference_draws=HUGE))
for _kind in ("whitening", "drl"):
    _config(f"{_kind}: embeddings of 65,536 values", lambda d: d["network"].update(dimension=2**16), f"{_kind} config")
    _config(f"{_kind}: settings of nobody", lambda d: d.update(settings={"a": {"b": HUGE}}), f"{_kind} config")
    _config(
        f"{_kind}: settings that are not finite",
        lambda d: d["settings"].update(shrinkage=1e400, margin=1e400),
        f"{_kind} config",
    )
_config("whitening: the weights of another kind", lambda document: document.update(kind="drl"), "whitening config")


def _weights(name: str, change: Callable[[dict[str, Any]], object], reader: str = "whitening weights") -> None:
    def read(folder: Path) -> None:
        from readers import READERS, read_model
        from safetensors.torch import load_file, save_file

        path = READERS[reader].make(folder)
        state = load_file(path)
        change(state)
        save_file(state, path)
        read_model(path)

    CASES[name] = read


def _as(name: str, dtype: str) -> Callable[[dict[str, Any]], object]:
    def change(state: dict[str, Any]) -> None:
        import torch

        state[name] = torch.ones(4, 4).to(getattr(torch, dtype))

    return change


for _dtype in ("float8_e4m3fn", "complex64", "bool", "int64", "float64"):
    _weights(f"whitening: another tensor, of {_dtype}", _as("other", _dtype))
    _weights(f"whitening: a map of {_dtype}", _as("projection", _dtype))


def _is(name: str, value: float) -> Callable[[dict[str, Any]], object]:
    return lambda state: state[name].fill_(value)


_weights("whitening: values beyond float32", _is("projection", 3e38))
_weights("whitening: a map that is not finite", _is("projection", float("nan")))
_weights("drl: variances below nothing", _is("encoder.0.running_var", -1.0), "drl weights")
_weights("drl: means that are not finite", _is("encoder.0.running_mean", float("inf")), "drl weights")


def _zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _endless(name: str, reader: str) -> None:
    def read(folder: Path) -> None:
        from readers import READERS

        path = READERS[reader].make(folder)
        path.unlink()
        _zeros(path)
        READERS[reader].read(path)

    CASES[name] = read


_endless("whitening: settings from a device without end", "whitening config")
_endless("whitening: weights from a device without end", "whitening weights")
_endless("network: a description from a device without end", "network.json")


@case("model: a header of 2**60 bytes")
def _safetensors(folder: Path) -> None:
    from readers import READERS, read_model

    path = READERS["model.safetensors"].make(folder)
    path.write_bytes(struct.pack("<Q", HUGE) + path.read_bytes()[8:])
    read_model(path)


@case("model: a tensor of 2**60 values")
def _tensor(folder: Path) -> None:
    from readers import READERS, read_model

    path = READERS["model.safetensors"].make(folder)
    header = json.dumps({"w": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    read_model(path)


def _saved_by_torch(name: str, contents: Callable[[Path], object]) -> None:
    def read(folder: Path) -> None:
        import torch
        from readers import read_checkpoint

        torch.save(contents(folder), folder / "in.pt", _use_new_zipfile_serialization=not name.endswith("old"))
        read_checkpoint(folder / "in.pt")

    for variant in (name, f"{name}, old"):
        CASES[variant] = read


def _in_itself(_: Path) -> dict[str, object]:
    contents: dict[str, object] = {}
    contents["model"] = contents
    return contents


def _stretched(_: Path) -> dict[str, object]:
    import torch

    return {"model": {"input_proj.weight": torch.ones(1, 1).expand(2**30, 2**30)}}


_saved_by_torch("checkpoint: a command", lambda folder: {"model": Evil(folder)})
_saved_by_torch("checkpoint: wrappers in themselves", _in_itself)
_saved_by_torch("checkpoint: one number stretched to 2**60", _stretched)
_saved_by_torch("checkpoint: no mapping", lambda _: [1, 2, 3])


@case("checkpoint: a pickle alone")
def _pickled_checkpoint(folder: Path) -> None:
    from readers import read_checkpoint

    (folder / "in.pt").write_bytes(pickle.dumps(Evil(folder)))
    read_checkpoint(folder / "in.pt")


@case("checkpoint: a tar with a member outside")
def _tar(folder: Path) -> None:
    from readers import read_checkpoint

    with tarfile.open(folder / "in.pt", "w") as archive:
        for name in ("../outside", "storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    read_checkpoint(folder / "in.pt")


def _network(name: str, **changes: object) -> None:
    def read(folder: Path) -> None:
        from readers import READERS, read_network

        path = READERS["network.json"].make(folder)
        _write(path, json.loads(path.read_bytes()) | changes)
        read_network(path)

    CASES[name] = read


_network("network: a file with NUL in its name", kind="onnx", source="a\0.onnx")
_network("network: a file of somebody else", kind="onnx", source="/etc/passwd")
_network("network: a folder with NUL in its name", kind="speechbrain", source="a\0b")
_network("network: a factory that is none", kind="factory", source="os:system")
_network("network: embeddings of 2**60 values", dimension=HUGE)


def _folder_weights(name: str, write: Callable[[Path], object]) -> None:
    """Weights beside a ``network.json`` that says of which kind they are."""

    def read(folder: Path) -> None:
        from readers import READERS, read_network

        path = READERS["network.json"].make(folder)
        _write(path, json.loads(path.read_bytes()) | {"kind": "resnet34", "source": ""})
        write(path.with_name("weights.safetensors"))
        read_network(path)

    CASES[name] = read


def _last_layer(dtype: str, *shape: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        import torch
        from safetensors.torch import save_file

        save_file({"fc.weight": torch.ones(shape).to(getattr(torch, dtype))}, path)

    return write


_folder_weights("network: no weights", lambda path: path.unlink(missing_ok=True))
_folder_weights("network: weights from a device without end", _zeros)
_folder_weights("network: weights in a folder", lambda path: path.mkdir())
_folder_weights("network: weights that are pickled", lambda path: path.write_bytes(pickle.dumps(Evil(path.parent))))
_folder_weights("network: a header of 2**60 bytes", lambda path: path.write_bytes(struct.pack("<Q", HUGE) + b"{}"))
_folder_weights("network: a million rows without values", _last_layer("float32", 2**20, 0))
_folder_weights("network: numbers of eight bits", _last_layer("float8_e4m3fn", 2, 2))


def _brain(name: str, change: Callable[[str], str], write: Callable[[Path], object] = lambda _: None) -> None:
    def read(folder: Path) -> None:
        from readers import make_speechbrain, read_speechbrain

        path = make_speechbrain(folder)
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        write(path.parent)
        read_speechbrain(path)

    CASES[f"SpeechBrain: {name}"] = read


def _with(line: str, key: str = "n_mels: 4") -> Callable[[str], str]:
    return lambda text: text.replace(key, line, 1)


def _checkpoint_of(contents: Callable[[Path], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        import torch

        torch.save(contents(folder.parent), folder / "model.ckpt")

    return write


def _instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return write


def _same(text: str) -> str:
    return text


CODE = {
    "a command": "!apply:os.system ['touch ran']",
    "a command in a reference": "!applyref:os.system ['touch ran']",
    "a Python object": "!!python/object/apply:os.system ['touch ran']",
    "a Python object in a tuple": "(!!python/object/apply:os.system ['touch ran'],)",
    "a Python object in a tuple, spelt": "!tuple \"(\\x21\\x21python/object/apply:os.system ['touch ran'])\"",
    "a process": "!new:subprocess.Popen [[touch, ran]]",
    "a class that a module imports": "!new:torch.nn.modules.module.functools.partial [1]",
    "a network that is downloaded": "!new:speechbrain.lobes.models.discrete.dac.DAC {load_pretrained: true}",
    "a function": "!name:os.system",
    "another file": "!include:/etc/passwd",
    "a copy": "!copy <pretrained_path>",
    "arithmetic without end": "!ref <nine> ** 9 ** 9 ** 9\nnine: 9",
    "an attribute": "!ref <compute_features.__class__>",
    "a key that is not there": "!ref <nothing>",
    "a reference to itself": "!ref <n_mels>",
    "a number of a hundred thousand digits": "9" * 100_000,
    "2**31 bands": str(2**31),
    "2**62 bands": str(2**62),
    "bands that are no number": ".nan",
    "aliases of aliases, lists": f"*l\na: &a [x, x]\n{_LINES}",
    "aliases of aliases, mappings": f"4\na: &a {{x: 1}}\n{_MAPS}",
    "an alias in itself": "&a [*a]",
    "brackets in brackets": "[" * 100_000,
    "texts that double": "!ref <t40>\nt0: '12'\n" + "".join(f"t{n + 1}: !ref <t{n}><t{n}>\n" for n in range(40)),
}
PLACES = {
    "weights above the folder": "../in.ckpt",
    "weights of somebody else": "/etc/passwd",
    "weights that must be fetched": "http://127.0.0.1:9/model.ckpt",
    "weights in a folder": ".",
    "weights with NUL in their name": '"a\\0b"',
    "weights that no text names": "[model.ckpt]",
}
if importlib.util.find_spec("speechbrain"):
    for _name, _value in CODE.items():
        _brain(_name, _with(f"n_mels: {_value}"))
    for _name, _value in PLACES.items():
        _brain(_name, _with(_value, "!ref <pretrained_path>/model.ckpt"))
    for _value in ("[1]", "-1", ".inf", "many", str(2**70)):
        _brain(f"{_value[:8]} samples a second", _with(f"n_mels: 4\nsample_rate: {_value}"))
    _brain("embeddings of 2**40 values", _with(f"lin_neurons: {2**40}", "lin_neurons: 3"))
    _brain("embeddings of no values", _with("lin_neurons: 0", "lin_neurons: 3"))
    _brain("no modules", _with("modules: 3\nothers:", "modules:"))
    _brain("a module that is none", _with("embedding_model: 3", "embedding_model: !ref <embedding_model>"))
    _brain("settings that are a list", lambda _: "- 1\n")
    _brain("no settings", lambda _: "")
    _brain("settings from a pipe", _same, _instead("hyperparams.yaml", os.mkfifo))
    _brain("settings from a device without end", _same, _instead("hyperparams.yaml", _zeros))
    _brain("weights from a pipe", _same, _instead("model.ckpt", os.mkfifo))
    _brain("weights from a device without end", _same, _instead("model.ckpt", _zeros))
    _brain("weights with a command", _same, _checkpoint_of(Evil))
    _brain("weights that are a list", _same, _checkpoint_of(lambda _: [1, 2]))
    _brain("weights in themselves", _same, _checkpoint_of(_in_itself))
    _brain("one number stretched to 2**60", _same, _checkpoint_of(_stretched))


# --------------------------------------------------------------------------------------------------------------- audio


def _sound(name: str, extension: str, change: Callable[[bytes], bytes]) -> None:
    def read(folder: Path) -> None:
        import numpy as np
        import soundfile
        from readers import read_wave

        path = folder / f"a.{extension}"
        soundfile.write(path, np.sin(np.arange(8_000) / 20) / 2, 16_000)
        path.write_bytes(change(path.read_bytes()))
        read_wave(path)

    CASES[name] = read


def _at(place: int, content: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:place] + content + data[place + len(content) :]


_sound("wav: 2**32 bytes promised", "wav", _at(40, b"\xff\xff\xff\xef"))
_sound("wav: 65,535 channels", "wav", _at(22, b"\xff\xff"))
_sound("wav: no frames per second", "wav", _at(24, b"\0\0\0\0"))
_sound("wav: four billion frames per second", "wav", _at(24, b"\xff\xff\xff\xff"))
_sound("flac: 2**36 frames promised", "flac", _at(21, b"\xff\xff\xff\xff\xff"))
_sound("flac: 2**32 frames promised", "flac", _at(21, b"\xf0\xff\xff\xff\xff"))
_sound("ogg: cut off", "ogg", lambda data: data[: len(data) // 2])
_sound("aiff: 2**32 frames promised", "aiff", _at(22, b"\xff\xff\xff\xff"))


# ----------------------------------------------------------------------------------------------------------------- run


def attempts(cases: list[tuple[str, Case]], base: Path) -> Iterator[dict[str, Any]]:
    """Run cases in a process of their own, up to the end or to the one at which it dies."""
    answer, tell = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(answer)
        for name, function in cases:
            os.write(tell, (json.dumps(_tried(name, function, base)) + "\n").encode())
        os._exit(0)
    os.close(tell)
    with os.fdopen(answer, "rb") as pipe:
        lines = [json.loads(line) for line in pipe]
    status = os.waitpid(process, 0)[1]
    yield from lines
    if os.WIFSIGNALED(status):
        died = f"died: {signal.Signals(os.WTERMSIG(status)).name}"
        yield {"case": cases[len(lines)][0], "outcome": died, "ran": False, "outside": []}


def _tried(name: str, function: Case, base: Path) -> dict[str, Any]:
    folder = base / str(list(CASES).index(name)) / "inside"
    folder.mkdir(parents=True)
    os.chdir(folder)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.RLIM_INFINITY))
    signal.alarm(SECONDS)
    outcome = _outcome(function, folder)
    signal.alarm(0)
    outside = [path.name for path in folder.parent.iterdir() if path != folder]
    return {"case": name, "outcome": outcome[:4000], "ran": (folder / "ran").exists(), "outside": outside}


def _outcome(function: Case, folder: Path) -> str:
    from seedpipe.errors import SeedpipeError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            function(folder)
    except SeedpipeError as error:
        return f"refused: {error}"
    except BaseException as error:
        return f"foreign: {type(error).__name__}: {error}"
    return "valid"


def main() -> None:
    """Import what cases need once, then try them all."""
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import speechbrain.lobes.models.Xvector  # noqa: F401
    pending = list(CASES.items())
    while pending:
        results = list(attempts(pending, Path(sys.argv[1])))
        sys.stdout.writelines(json.dumps(result) + "\n" for result in results)
        pending = pending[len(results) :]


if __name__ == "__main__":
    main()
