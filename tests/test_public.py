"""What everybody sees: a light import, names that exist, docstrings, and examples that run."""

from __future__ import annotations

import doctest
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from synthetic import REPOSITORY, draw_embeddings, enhancer, utterance_names, write_cache

import seedpipe
from seedpipe import errors
from seedpipe.errors import MissingExtraError, SeedpipeError

HEAVY = ("torch", "torchaudio", "diffusers", "h5py", "numpy", "pandas", "pydantic", "matplotlib")


def public_modules() -> list[str]:
    found = [module.name for module in pkgutil.walk_packages(seedpipe.__path__, "seedpipe.")]
    return ["seedpipe", *(name for name in found if not any(part.startswith("_") for part in name.split(".")))]


MODULES = public_modules()


def load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, MissingExtraError) as error:
        pytest.skip(f"{name} needs an optional package: {error}")


@pytest.mark.parametrize("name", ["seedpipe", "seedpipe.cli", "seedpipe.console", "seedpipe.enhancers"])
def test_importing_is_light(name: str) -> None:
    code = f"import {name}, sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_the_version_is_that_of_the_package() -> None:
    assert seedpipe.__version__ == importlib.metadata.version("seedpipe")


def test_there_are_modules() -> None:
    assert {"seedpipe.enhancers.trainer", "seedpipe.results.evaluation", "seedpipe.networks"} <= set(MODULES)


def public_names(module: ModuleType) -> list[str]:
    """What a package exports; of a module inside one, what it defines under a name without underscore."""
    own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    return list(getattr(module, "__all__", [name for name in own if not name.startswith("_")]))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_names_that_exist(name: str) -> None:
    module = load(name)
    names = public_names(module)
    assert len(set(names)) == len(names)
    lacking = [public for public in names if not hasattr(module, public)]
    assert not lacking
    assert (module.__doc__ or "").strip()


def members(name: str) -> Iterator[tuple[str, object]]:
    module = load(name)
    for public in public_names(module):
        thing = getattr(module, public)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield f"{name}.{public}", thing
        if inspect.isclass(thing) and thing.__module__.startswith("seedpipe"):
            for method, value in vars(thing).items():
                function = getattr(value, "__func__", value)
                field = method in getattr(thing, "__dataclass_fields__", {})  # a function as its default
                if (
                    not method.startswith("_")
                    and not field
                    and (inspect.isfunction(function) or isinstance(value, property))
                ):
                    yield f"{name}.{public}.{method}", function


@pytest.mark.parametrize("name", MODULES)
def test_public_things_have_a_docstring(name: str) -> None:
    bare = [path for path, thing in members(name) if not (thing.__doc__ or "").strip()]
    assert not bare


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, SeedpipeError)
        assert name in errors.__doc__


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples name."""
    from seedpipe.enhancers import train_on_cache
    from seedpipe.params import Params

    folder = tmp_path_factory.mktemp("files")
    shutil.copy(REPOSITORY / "params.yaml", folder)
    models = folder / "models" / "dvector"
    enhancer(256, name="dvector").save(models / "seed", "# Card\n")
    embeddings = draw_embeddings(30, 10, 1, seed=0, dimension=256)
    cache = write_cache(folder / "cache", embeddings, utterance_names(30, 10), kind="training")
    train_on_cache("whitening", cache, models / "whitening", Params())
    return folder


@pytest.fixture
def project(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for each module, with those files."""
    folder = Path(shutil.copytree(files, tmp_path / "project"))
    monkeypatch.chdir(folder)
    return folder


def examples() -> list[str]:
    found = ((name, importlib.util.find_spec(name)) for name in MODULES)
    return [name for name, spec in found if spec and ">>>" in Path(spec.origin or "").read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", examples())
def test_examples_in_docstrings_run(name: str, project: Path) -> None:
    assert project.is_dir()
    runner, messages = doctest.DocTestRunner(verbose=False), []
    tests = [test for test in doctest.DocTestFinder(exclude_empty=True).find(load(name)) if test.examples]
    try:
        for test in tests:
            runner.run(test, out=messages.append, clear_globs=True)
    except MissingExtraError as error:
        pytest.skip(str(error))
    assert runner.tries > 0
    assert runner.failures == 0, "".join(messages)


def test_long_work_shows_how_far_it_is_by_default() -> None:
    """In a notebook or a script, where nobody has asked for it; what takes seconds says nothing."""
    from seedpipe import enhancers, extract, pipeline, scoring

    functions = (
        *(extract.extract, extract.extract_part, pipeline.extract, pipeline.train),
        *(enhancers.train, enhancers.train_on_cache, enhancers.train_enhancer, enhancers.files.enhance_file),
        *(scoring.evaluate, scoring.embed_files),
    )
    for function in functions:
        assert inspect.signature(function).parameters["progress"].default == "shown", function.__name__
