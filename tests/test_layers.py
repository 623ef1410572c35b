"""Imports go downwards in the picture of docs/architecture.md: who looks for a cause reads in one direction only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import seedpipe

ROOT = Path(seedpipe.__file__).parent
MOST_ROOMS = 18
# From the bottom up; rooms of one layer do not know each other.
LAYERS = (
    ("errors", "__init__"),  # of which the others take the version alone
    ("workers", "console", "files"),
    ("params",),
    ("networks",),
    ("audio",),
    ("metrics", "cache"),
    ("extract",),
    ("enhancers",),
    ("results",),
    ("scoring",),
    ("results.tables",),
    ("results.report",),
    ("project", "bench"),
    ("pipeline",),
    ("integrations",),
    ("cli",),
)


def modules() -> dict[str, Path]:
    """Every module by its name below the package."""
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}


def imports(path: Path) -> Iterator[str]:
    """What a module imports of the package when it runs, also inside functions; for a type checker alone is free."""
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix("seedpipe.") for name in names if name.startswith("seedpipe."))
        nodes += ast.iter_child_nodes(node)


def target(name: str, known: dict[str, Path]) -> str:
    """The module that an imported name is, or is in."""
    while name and name not in known and f"{name}.__init__" not in known:
        name = name.rpartition(".")[0]
    return name if name in known else f"{name}.__init__".removeprefix(".")


def room(module: str) -> str:
    """The entry of LAYERS that a module belongs to."""
    rooms = [each for layer in LAYERS for each in layer if f"{module}.".startswith(f"{each}.")]
    assert rooms, f"{module} is in no layer: say in tests/test_layers.py and docs/architecture.md where it stands"
    return max(rooms, key=len)


def test_imports_go_downwards() -> None:
    known = modules()
    height = {each: number for number, layer in enumerate(LAYERS) for each in layer}
    wrong = [
        f"{module} imports {other}, which does not stand below it"
        for module in sorted(set(known) - {"__init__"})
        for other in sorted({target(name, known) for name in imports(known[module])})
        if room(module) != room(other) and height[room(module)] <= height[room(other)]
    ]
    assert not wrong, "\n".join([*wrong, "Move what both need further down, or pass it in as an argument."])


def test_no_module_imports_itself_by_a_detour() -> None:
    known = modules()
    graph = {name: {target(each, known) for each in imports(path)} - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"a cycle of imports, none of which can be read alone: {error.args[1]}") from error


def test_the_house_has_few_rooms() -> None:
    names = {path.name for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    rooms = sorted(names - {"__init__.py"})
    assert len(rooms) <= MOST_ROOMS, f"more rooms than one keeps in mind: {rooms}; put it into the one it belongs to"
