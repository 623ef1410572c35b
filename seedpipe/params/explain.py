"""What is wrong with a value of a section, as an error that names the key and the nearest known one."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from seedpipe.errors import ParamsError


def explain(
    error: ValidationError, model: type[BaseModel], lines: Mapping[str, int], path: Path | None = None
) -> ParamsError:
    """Explain the first error of a section, with the row of its key where ``lines`` has it."""
    first = error.errors()[0]
    keys = [str(part) for part in first["loc"]]
    row = next((lines[".".join(keys[:n])] for n in range(len(keys), 0, -1) if ".".join(keys[:n]) in lines), None)
    name = ".".join(keys)
    if first["type"] == "extra_forbidden":
        known = list(fields_of(model, keys[:-1]))
        near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.0)
        remedy = f"did you mean '{near[0]}'?" if near else ""
        return ParamsError(
            f"{name}: unknown key", expected=f"one of {', '.join(known)}", remedy=remedy, file=path, row=row
        )
    found = f"{name}: {json.dumps(first['input'], default=str)}"
    return ParamsError(found, expected=_wanted(first), remedy=_remedy(first), file=path, row=row)


def _wanted(error: ErrorDetails) -> str:
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"another value, because {text}" if error["type"] == "value_error" else text


def _remedy(error: ErrorDetails) -> str:
    try:
        float(error["input"] if isinstance(error["input"], str) else "")
    except ValueError:
        return ""
    return "write the number without quotes, an exponent with point and sign as in 5.0e-4, or YAML reads it as text"


def fields_of(model: Any, keys: list[str]) -> dict[str, Any]:
    """The fields of the section below a model that some keys lead to."""
    for key in keys:
        model = model.model_fields[key].annotation
    return dict(model.model_fields)
