"""What is shipped: a wheel with the library and nothing else, a source archive with all, and metadata that is true."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml

import seedpipe

HERE = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION_KEYS = {"cff-version", "message", "title", "authors", "version", "license", "type", "abstract", "keywords"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive, built without network."""
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def shipped(folder: Path) -> set[str]:
    """Files that Git knows or would take, below a folder of the checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", str(folder)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("there is no Git to say which files belong to the project")
    return {name for name in done.stdout.splitlines() if (HERE / name).is_file()}


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    library = {name for name in names if not name.startswith("seedpipe-0")}
    assert {name.split("/")[0] for name in library} == {"seedpipe"}
    assert {
        "seedpipe/py.typed",
        "seedpipe/results/report/template.html.j2",
        "seedpipe/results/report/template.md.j2",
    } <= library
    assert not [name for name in library if re.search(r"(test_|conftest|\.pyc$|__pycache__)", name)]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 2_000_000


def test_the_wheel_leaves_out_no_file_of_the_library(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert shipped(Path("seedpipe")) <= set(archive.namelist())


def test_the_source_archive_holds_what_make_test_needs(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("seedpipe", "stages", "examples", "tests", "benchmarks", "docs", "networks"):
        assert shipped(Path(folder)) <= names, folder
    needed = {"Makefile", "constraints.txt", "dvc.yaml", "params.yaml", "mkdocs.yml", ".dvc/config", "CITATION.cff"}
    assert needed | {"README.md", "LICENSE", "CHANGELOG.md", "data_manifests/musan.md"} <= names
    assert not [name for name in names if re.match(r"(data|cache|models|results|reports|build|\.venv)/", name)]


def test_the_wheel_works_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(wheel, tmp_path, "zip")
    code = "import seedpipe, seedpipe.cli; print(seedpipe.__file__); seedpipe.cli.app(['--version'])"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [str(tmp_path / "seedpipe" / "__init__.py"), f"seedpipe {seedpipe.__version__}"]


def test_metadata_say_what_the_project_says(wheel: Path) -> None:
    said = metadata(wheel)
    assert (said["Name"], said["Version"], said["License-Expression"]) == ("seedpipe", seedpipe.__version__, "MIT")
    assert set(said.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    classifiers = said.get_all("Classifier", [])
    supported = [
        each.rpartition(" ")[2] for each in classifiers if each.startswith("Programming Language :: Python :: 3.")
    ]
    assert supported == ["3.11", "3.12", "3.13"]
    assert said["Requires-Python"] == "<3.14,>=3.11"
    assert not said.get_all("Project-URL"), "a URL that does not exist yet"


def test_the_version_is_a_semantic_one_and_the_same_everywhere() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", seedpipe.__version__)
    citation = yaml.safe_load((HERE / "CITATION.cff").read_text(encoding="utf-8"))
    assert {PROJECT["version"], str(citation["version"])} == {seedpipe.__version__}
    assert seedpipe.__version__ in (HERE / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_extra_is_in_the_table_of_the_documentation() -> None:
    text = (HERE / "docs" / "index.md").read_text(encoding="utf-8")
    table = text.partition("| extra |")[2].partition("\n\n")[0]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.partition("|")[2].partition("|")[0])
    }
    assert named == set(PROJECT["optional-dependencies"])


def canonical(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def test_everything_that_make_installs_is_pinned() -> None:
    head, *pins = (HERE / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert head.startswith("# ")
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", pin) for pin in pins)
    pinned = [canonical(pin) for pin in pins]
    assert len(set(pinned)) == len(pinned)
    installed = re.search(r'-e "\.\[([\w,]+)\]"', (HERE / "Makefile").read_text(encoding="utf-8"))
    assert installed
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(each for name in installed[1].split(",") for each in extras[name])]
    assert {canonical(each) for each in wanted} <= set(pinned)


def test_the_citation_has_what_its_format_asks_for() -> None:
    """The keys and types of the Citation File Format 1.2.0 that are used here."""
    citation = yaml.safe_load((HERE / "CITATION.cff").read_text(encoding="utf-8"))
    assert CITATION_KEYS <= set(citation) <= CITATION_KEYS | {"references"}
    assert (citation["cff-version"], citation["type"], citation["license"]) == ("1.2.0", "software", PROJECT["license"])
    paper = citation["references"][0]
    assert (paper["type"], paper["year"], paper["conference"]["name"]) == ("conference-paper", 2025, "Interspeech 2025")
    for author in [*citation["authors"], *paper["authors"]]:
        assert set(author) in ({"name"}, {"given-names", "family-names"})
        assert all(isinstance(value, str) and value for value in author.values())
    assert not any(isinstance(value, datetime.date) for value in citation.values()), "0.1.0 has no date yet"
