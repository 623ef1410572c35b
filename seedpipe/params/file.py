"""The file: all its sections, and errors that name the key, its line and the nearest known key."""

from __future__ import annotations

import difflib
import itertools
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from seedpipe.errors import ParamsError
from seedpipe.files import StrPath, read_document
from seedpipe.params.data import CorpusParams, ManifestParams
from seedpipe.params.enhancers import EnhancersParams
from seedpipe.params.extract import ExtractParams
from seedpipe.params.machine import MachineParams
from seedpipe.params.score import ScoreParams
from seedpipe.params.section import Section
from seedpipe.params.train import TrainParams

MOST_VALUES = 10_000  # of params.yaml, which has some hundred; aliases of aliases make billions out of ten lines
MOST_BYTES = 2**20


class Params(Section):
    """The whole of ``params.yaml``."""

    corpus: CorpusParams = CorpusParams()
    manifest: ManifestParams = ManifestParams()
    extract: ExtractParams = ExtractParams()
    train: TrainParams = TrainParams()
    enhancers: EnhancersParams = EnhancersParams()
    score: ScoreParams = ScoreParams()
    machine: MachineParams = MachineParams()


def load_params(path: StrPath = "params.yaml") -> Params:
    """Read and check ``params.yaml``; a section or key that is left out has its default.

    Raises
    ------
    ParamsError
        The file is missing, is not YAML, or a key in it is unknown, of a wrong type or impossible.

    Examples
    --------
    >>> load_params("params.yaml").train.loss
    'norm'
    """
    path = Path(path)
    try:
        text = read_document(path, MOST_BYTES).decode()
    except (OSError, ValueError) as error:
        raise ParamsError(f"cannot be read ({error})", file=path, remedy="run in the folder of the project") from error
    data, lines = _parse(text, path)
    try:
        return Params.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise _explain(error.errors()[0], lines, path) from error


def _parse(text: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[str, int] = {}
        if root is not None:
            if (values := _size(root, {})) > MOST_VALUES:
                raise ValueError(f"{values:,} values, with those that aliases repeat")
            _walk(root, "", lines, path)
        data = yaml.safe_load(text)
        json.dumps(data)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:  # dates that are none, keys in themselves
        mark = getattr(error, "problem_mark", None)
        row = None if mark is None else mark.line + 1
        raise ParamsError(f"is not plain YAML ({error})", file=path, row=row) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ParamsError(f"holds a {type(data).__name__}", expected="sections such as 'train:'", file=path)
    return data, lines


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values in a node, each alias counted as what it stands for."""
    if id(node) not in known:
        known[id(node)] = 1  # for one that holds itself, which JSON refuses later
        values = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = itertools.chain.from_iterable(values) if isinstance(node, yaml.MappingNode) else values
        known[id(node)] += sum(_size(value, known) for value in inner)
    return known[id(node)]


def _walk(node: yaml.Node, prefix: str, lines: dict[str, int], path: Path) -> None:
    """Note the line of every key; YAML itself would let a repeated key win silently."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        row = key.start_mark.line + 1
        if name in lines:
            raise ParamsError(
                f"{name}: the key stands twice, first in row {lines[name]}", remedy="keep one", file=path, row=row
            )
        lines[name] = row
        _walk(value, f"{name}.", lines, path)


def _explain(error: ErrorDetails, lines: dict[str, int], path: Path) -> ParamsError:
    keys = [str(part) for part in error["loc"]]
    row = next((lines[".".join(keys[:n])] for n in range(len(keys), 0, -1) if ".".join(keys[:n]) in lines), None)
    name = ".".join(keys)
    if error["type"] == "extra_forbidden":
        known = list(_fields(keys[:-1]))
        near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.0)
        remedy = f"did you mean '{near[0]}'?" if near else ""
        return ParamsError(
            f"{name}: unknown key", expected=f"one of {', '.join(known)}", remedy=remedy, file=path, row=row
        )
    found = f"{name}: {json.dumps(error['input'], default=str)}"
    return ParamsError(found, expected=_wanted(error), remedy=_remedy(error), file=path, row=row)


def _wanted(error: ErrorDetails) -> str:
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"another value, because {text}" if error["type"] == "value_error" else text


def _remedy(error: ErrorDetails) -> str:
    try:
        float(error["input"] if isinstance(error["input"], str) else "")
    except ValueError:
        return ""
    return "write the number without quotes, an exponent with point and sign as in 5.0e-4, or YAML reads it as text"


def _fields(keys: list[str]) -> dict[str, Any]:
    model: Any = Params
    for key in keys:
        model = model.model_fields[key].annotation
    return dict(model.model_fields)
