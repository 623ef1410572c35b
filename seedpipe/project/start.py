"""A folder becomes a project with the pipeline of this repository: there is no second one to keep in step.

``dvc.yaml``, the scripts of the stages and DVC's configuration are copied as they are. ``params.yaml`` has the values
of the repository's own but for the data folder and the list, and a sentence above every key.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import yaml
from pydantic import BaseModel

from seedpipe.errors import ParamsError, counted
from seedpipe.files import StrPath, whole_files
from seedpipe.params import ExtractParams, Params, TrainParams

COPIED = (
    "dvc.yaml",
    "stages/*.py",
    "networks/campplus/network.json",
    "networks/dvector/network.json",
    ".dvcignore",
    ".dvc/.gitignore",
    ".dvc/config",
)
IGNORED = ".gitignore"
PARAMS = "params.yaml"
LOCAL = ".dvc/config.local"
WITHOUT_GIT = "[core]\n    no_scm = true\n"
OWN = {
    "manifest.root": "data/mine",
    "manifest.evaluations": "[mine]",
    "extract.draws": str(ExtractParams().draws),  # the repository's are those of the demonstration
    "train.steps": str(TrainParams().steps),
}
"""Values in which the ``params.yaml`` of a new project differs from that of the repository."""
DATA_FOLDERS = ("train", "noise", "music", "rir", "eval")
HEAD = """\
# The parameters of this project, one section per stage. An unknown key is an error that names the nearest known one.
# A key right behind a '#' is not given: what stands there is its default, unless a preset says otherwise.
# Pages named docs/... are those of seedpipe's documentation.
"""
WIDTH = 110


def start_project(folder: StrPath) -> list[Path]:
    """Write a project into a folder that has none.

    Parameters
    ----------
    folder : str or path
        It may be missing, and may hold other files.

    Returns
    -------
    list of Path
        The files written, relative to the folder.

    Raises
    ------
    ParamsError
        A file of one of the names is there already, or it is the root of the file system; nothing has been written.
    """
    folder = Path(folder)
    if folder.resolve().parent == folder.resolve():
        raise ParamsError("is the root of the file system", expected="a folder for a project", file=folder)
    files = _contents(folder)
    # A call that was ended between two files has left whole ones, which are those that would be written.
    taken = [name for name, text in files.items() if os.path.lexists(folder / name) and not _is(folder / name, text)]
    if taken := taken or [name for name in files if all(_is(folder / name, files[name]) for name in files)]:
        raise ParamsError(
            f"holds {taken[0]}"
            + (f" and {counted(len(taken) - 1, 'other file')} of a project" if len(taken) > 1 else ""),
            expected="a folder without a project",
            remedy="choose another folder, or remove the files first",
            file=folder,
        )
    if not os.path.lexists(folder / IGNORED):
        files[IGNORED] = _read(_shipped() / IGNORED)
    for name in DATA_FOLDERS:
        (folder / OWN["manifest.root"] / name).mkdir(parents=True, exist_ok=True)
    with whole_files([folder / name for name in files]) as partials:
        for partial, text in zip(partials, files.values(), strict=True):
            partial.write_text(text, encoding="utf-8")
    return [Path(name) for name in files]


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def pipeline_files() -> dict[str, str]:
    """The files of the pipeline that every project has, by name: their contents."""
    shipped = _shipped()
    paths = (path for pattern in COPIED for path in sorted(shipped.glob(pattern)))
    return {path.relative_to(shipped).as_posix(): _read(path) for path in paths}


def _contents(folder: Path) -> dict[str, str]:
    files = {PARAMS: commented_params(_read(_shipped() / PARAMS))} | pipeline_files()
    inside_git = any((place / ".git").exists() for place in (folder.resolve(), *folder.resolve().parents))
    return files if inside_git else files | {LOCAL: WITHOUT_GIT}


def _shipped() -> Path:
    """Where the files are that a project gets: in the installed package, or in the checkout that this module is in."""
    packed = Path(__file__).parent / "files"
    return packed if packed.is_dir() else Path(__file__).resolve().parents[2]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def commented_params(text: str) -> str:
    """Write the repository's ``params.yaml`` for a new project: a sentence above every key, and the keys left out."""
    lines = re.sub(r"\A(#.*\n)+", "", text).splitlines()
    root = yaml.compose("\n".join(lines), Loader=yaml.SafeLoader)
    above: dict[int, list[str]] = {}
    below: dict[int, list[str]] = {}
    for path, key, value in _keys(root):
        row, indent = key.start_mark.line, " " * key.start_mark.column
        above[row] = _comment(_field(path).description or "", indent)
        if path in OWN:
            lines[row] = f"{indent}{key.value}: {OWN[path]}"
        if _is_block(value):
            last = _last_row(value)
            below[last] = _left_out(path, value, indent + "  ") + below.get(last, [])
    body = [line for row, text in enumerate(lines) for line in (*above.get(row, []), text, *below.get(row, []))]
    return HEAD + "\n".join(body) + "\n"


def _keys(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Every key that has a line of its own, in order: its dotted path, itself, and its value."""
    if not _is_block(node):
        return
    for key, value in node.value:
        path = f"{prefix}{key.value}"
        yield path, key, value
        yield from _keys(value, f"{path}.")


def _last_row(node: yaml.Node) -> int:
    """Row of the last key or value below a node."""
    return _last_row(node.value[-1][1]) if _is_block(node) else int(node.start_mark.line)


def _is_block(node: yaml.Node | None) -> TypeGuard[yaml.MappingNode]:
    """Whether a node is a mapping with a line for each key."""
    return isinstance(node, yaml.MappingNode) and bool(node.value) and not node.flow_style


def _left_out(path: str, node: yaml.MappingNode, indent: str) -> list[str]:
    """The keys of a section that are not given, each as a comment with its default."""
    given = {key.value for key, _ in node.value}
    lines: list[str] = []
    for name, field in _field(path).annotation.model_fields.items():
        if name not in given:
            lines += _comment(field.description or "", indent)
            lines.append(f"{indent}#{name}: {_flow(field.default)}")
    return lines


def _comment(sentence: str, indent: str) -> list[str]:
    plain = " ".join(sentence.replace("``", "'").split())
    return textwrap.wrap(plain, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _flow(value: object) -> str:
    """A default as YAML writes it on one line."""
    if isinstance(value, BaseModel):
        plain: object = value.model_dump(mode="json")
    else:
        plain = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _field(path: str) -> Any:
    """The description, annotation and default of a parameter."""
    sections = path.split(".")
    model: Any = Params
    for name in sections[:-1]:
        model = model.model_fields[name].annotation
    return model.model_fields[sections[-1]]
