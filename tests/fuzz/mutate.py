"""Damage to the bytes of a file and to the values of a document, the same for the same generator."""

from __future__ import annotations

import copy
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

HUGE = (2**31 - 1, 2**31, 2**32 - 1, 2**60, 2**63 - 1, 2**64 - 1)
"""Counts that a file may claim and cannot hold."""
DEEP = 20_000
"""Brackets in brackets: more than any parser of Python follows."""
WORDS = (
    b"", b"0", b"-1", b"1e400", b"nan", b"inf", b"-inf", b"9" * 400, b"9" * 5000, b"1_000", b"0x10", b"None", b"[]",
    b"\x00", b"a\x00b", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1c", b"\x85", b"\xe2\x80\xa8", b"\r", b"\n",
    b"\r\n", b"\t", b" ", b",", b";", b'"', b"'", b'""', b"\\", b"../x", b"../../etc/passwd", b"/etc/passwd", b"/",
    b".", b"..", b"a/b", b"~", b"$HOME", b"|ls", b"ls|", b"-", b"#", b"%s", b"{}", b"&a", b"*a",
    b"!!python/object:os.system", b"---", b"x" * 200_000, b"[" * DEEP, b"{" * DEEP, b"\x1b[31m",
    "ﬀ\u202e\U0001f600".encode(),
)  # fmt: skip
"""What stands badly in a text: other types, encodings, separators, places, expressions of shells and of YAML."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 10**400, -(2**63) - 1, 0.5, -0.0, 1e308, -1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"), "", "x", "a\x00b", "\ud800", "../x", "/etc/passwd", "a/b", "\x1b[31m",
    "1", "<script>", "x" * 100_000, [], {}, [[]], [None], {"": None}, {"a": {"b": [1]}}, [1] * 1000,
)  # fmt: skip
"""What stands badly in a document: other types, extremes, names that lead elsewhere."""


def damaged(data: bytes, generator: np.random.Generator) -> bytes:
    """One to three kinds of damage at places that are drawn."""
    for _ in range(int(generator.integers(1, 4))):
        data = _KINDS[int(generator.integers(len(_KINDS)))](data, generator)
    return data


def truncations(data: bytes, most: int = 200) -> Iterator[bytes]:
    """The file cut off after each byte, or after evenly spaced ones."""
    for length in np.unique(np.linspace(0, len(data) - 1, min(most, len(data))).astype(int)):
        yield data[:length]


def _place(data: bytes, generator: np.random.Generator) -> int:
    # Headers are short, and most of what can be damaged stands there or at the very end.
    span = len(data) if generator.random() < 0.5 else min(len(data), 256)
    place = int(generator.integers(span + 1))
    return len(data) - place if generator.random() < 0.2 else place


def _cut(data: bytes, generator: np.random.Generator) -> bytes:
    return data[: _place(data, generator)]


def _flip(data: bytes, generator: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(generator.integers(1, 9)) if data else 0):
        changed[min(_place(data, generator), len(data) - 1)] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def _number(data: bytes, generator: np.random.Generator) -> bytes:
    number = HUGE[int(generator.integers(len(HUGE)))]
    form = ("<Q", ">Q", "<I", ">I", "<H", "<B")[int(generator.integers(6))]
    packed = struct.pack(form, number % 2 ** (8 * struct.calcsize(form)))
    place = _place(data, generator)
    return data[:place] + packed + data[place + len(packed) :]


def _word(data: bytes, generator: np.random.Generator) -> bytes:
    word = WORDS[int(generator.integers(len(WORDS)))]
    place = _place(data, generator)
    return data[:place] + word + data[place + int(generator.integers(3)) * len(word) :]


def _remove(data: bytes, generator: np.random.Generator) -> bytes:
    start, stop = sorted((_place(data, generator), _place(data, generator)))
    return data[:start] + data[stop:]


def _repeat(data: bytes, generator: np.random.Generator) -> bytes:
    start, stop = sorted((_place(data, generator), _place(data, generator)))
    return data[:stop] + data[start:stop] * int(generator.integers(1, 5)) + data[stop:]


def _noise(data: bytes, generator: np.random.Generator) -> bytes:
    place, count = _place(data, generator), int(generator.integers(1, 64))
    return data[:place] + generator.bytes(count) + data[place + count :]


_KINDS = (_cut, _flip, _flip, _number, _number, _word, _word, _remove, _repeat, _noise)


def poisoned(document: Any, values: tuple[Any, ...] = VALUES) -> Iterator[tuple[str, Any]]:
    """Every document in which one value is another, one key is missing, or one key is too many, each with its place."""
    for place in _places(document):
        for value in values:
            yield f"{place} = {value!r}"[:80], _replaced(document, place, value)
        if place:
            yield f"{place} removed", _replaced(document, place, _GONE)


_GONE = object()


def _places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    inner = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document[:2])
        if isinstance(document, list)
        else ()
    )
    for key, value in inner:
        yield from _places(value, (*place, key))
    if isinstance(document, dict):
        yield (*place, "unheard")


def _replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    if value is not _GONE:
        inner[place[-1]] = value
    elif isinstance(inner, list) or place[-1] in inner:
        del inner[place[-1]]
    return changed
