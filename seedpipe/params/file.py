"""The file: all its sections, and errors that name the key, its line and the nearest known key."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from seedpipe.errors import ParamsError, counted
from seedpipe.files import StrPath, read_document
from seedpipe.params.data import AudioParams, CorpusParams, ManifestParams
from seedpipe.params.enhancers import EnhancersParams
from seedpipe.params.explain import explain
from seedpipe.params.extract import ExtractParams
from seedpipe.params.machine import MachineParams
from seedpipe.params.score import ScoreParams
from seedpipe.params.section import Section
from seedpipe.params.train import TrainParams

MOST_VALUES = 10_000  # of params.yaml, which has some hundred; aliases of aliases make billions out of ten lines
MOST_BYTES = 2**20
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
TWO_READINGS = re.compile(r"[-+]?0[0-9_]+|.*:.*")  # octal, and to the base 60


class Params(Section):
    """The whole of ``params.yaml``."""

    corpus: CorpusParams = CorpusParams()
    manifest: ManifestParams = ManifestParams()
    audio: AudioParams = AudioParams()
    extract: ExtractParams = ExtractParams()
    train: TrainParams = TrainParams()
    enhancers: EnhancersParams = EnhancersParams()
    score: ScoreParams = ScoreParams()
    machine: MachineParams = MachineParams()


def load_params(path: StrPath | None = "params.yaml", changes: Sequence[str] = ()) -> Params:
    """Read and check ``params.yaml``; a section or key that is left out has its default.

    Parameters
    ----------
    path : str, path or None
        None for the defaults of every parameter.
    changes : sequence of str
        Such as ``train.epochs=5``: values, written as in the file, in the place of those of the file.

    Raises
    ------
    ParamsError
        The file is missing, is not YAML, or a key in it or in a change is unknown, of a wrong type or impossible.

    Examples
    --------
    >>> load_params("params.yaml", ["train.seed=3"]).train.seed
    3
    """
    data, lines = ({}, {}) if path is None else _read(Path(path))
    for change in changes:
        lines = _set(data, lines, change)
    try:
        return Params.model_validate_json(json.dumps(data))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        changed = any(_within(name, key) or _within(key, name) for name in (_key(change) for change in changes))
        where = ({}, None) if path is None or changed else (lines, Path(path))
        raise explain(error, Params, *where) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        text = read_document(path, MOST_BYTES).decode()
    except (OSError, ValueError) as error:
        raise ParamsError(f"cannot be read ({error})", file=path, remedy="run in the folder of the project") from error
    return _parse(text, path)


def _set(data: dict[str, Any], lines: dict[str, int], change: str) -> dict[str, int]:
    """Put a value in the place of that of the file; gives the lines of the keys that are left."""
    _, equals, text = change.partition("=")
    *sections, key = _key(change).split(".")
    if not equals or not all([*sections, key]):
        raise ParamsError(f"a change {change!r}", expected="KEY=VALUE, as train.epochs=5")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            inner = data[section] = {}
        data = inner
    try:
        data[key] = _plain(text)[0]
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ParamsError(f"a change {change!r} is not plain YAML ({error})") from error
    return {name: row for name, row in lines.items() if not _within(name, _key(change))}


def _key(change: str) -> str:
    return change.partition("=")[0].strip()


def _within(name: str, section: str) -> bool:
    return f"{name}.".startswith(f"{section}.")


def _parse(text: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        data, lines = _plain(text, path)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:  # dates that are none, keys in themselves
        mark = getattr(error, "problem_mark", None)
        row = None if mark is None else mark.line + 1
        raise ParamsError(f"is not plain YAML ({error})", file=path, row=row) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ParamsError(f"holds a {type(data).__name__}", expected="sections such as 'train:'", file=path)
    return data, lines


def _plain(text: str, path: Path | None = None) -> tuple[Any, dict[str, int]]:
    """What a YAML text says, which JSON can say, too, and the line of every key; in errors, where there is a path."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines: dict[str, int] = {}
    if root is not None:
        if (values := _size(root, {})) > MOST_VALUES:
            raise ValueError(f"{counted(values, 'value')}, with those that aliases repeat")
        _expect_one_reading(root, "", path)
        _walk(root, "", lines, path)
    data = yaml.safe_load(text)
    json.dumps(data, ensure_ascii=False).encode()  # half a character is none
    return data, lines


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values in a node, each alias counted as what it stands for."""
    if id(node) not in known:
        known[id(node)] = 1  # for one that holds itself, which JSON refuses later
        values = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = itertools.chain.from_iterable(values) if isinstance(node, yaml.MappingNode) else values
        known[id(node)] += sum(_size(value, known) for value in inner)
    return known[id(node)]


def _walk(node: yaml.Node, prefix: str, lines: dict[str, int], path: Path | None) -> None:
    """Note the line of every key; YAML itself would let a repeated key win silently."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        row = key.start_mark.line + 1
        if name in lines:
            raise ParamsError(
                f"{name}: the key stands twice, first in row {lines[name]}",
                remedy="keep one",
                file=path,
                row=row if path else None,
            )
        lines[name] = row
        _expect_one_reading(value, name, path)
        _walk(value, f"{name}.", lines, path)


def _expect_one_reading(node: yaml.Node, name: str, path: Path | None) -> None:
    """Refuse numbers that mean another one to who reads YAML 1.2, as DVC does: 010 is 8 or 10, 1:30 is 90 or a text."""
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _expect_one_reading(value, name, path)
    elif isinstance(node, yaml.ScalarNode) and node.tag in NUMBERS and TWO_READINGS.fullmatch(node.value):
        raise ParamsError(
            f"{name}: " * bool(name) + f"{node.value} is one number in YAML 1.1 and another, or none, in YAML 1.2",
            expected="decimal digits, without zeros in front and without colons",
            file=path,
            row=node.start_mark.line + 1 if path else None,
        )
