"""The documentation: what it shows runs, what it names is there, and the site builds."""

from __future__ import annotations

import contextlib
import html.parser
import itertools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import provoked_errors
import pytest
import yaml
from demo_project import HERE, copied, run
from synthetic import utterance_names, write_cache
from typer.main import get_command
from typer.testing import CliRunner

import seedpipe
from seedpipe import errors
from seedpipe.cli import app
from seedpipe.errors import MissingExtraError
from seedpipe.params import Params, load_params

USER_PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((HERE / "docs").glob("*.md")))]
CORPUS_PAGES = [f"data_manifests/{path.name}" for path in sorted((HERE / "data_manifests").glob("*.md"))]
PAGES = [*USER_PAGES, *CORPUS_PAGES, "CONTRIBUTING.md", "CHANGELOG.md"]
SHELLS = ("sh", "bash")
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", flags=re.MULTILINE | re.DOTALL
)
NOT_RUN = re.compile(r"not run: \w.*")
WORDS_BEFORE = {"do", "then", "else", "!", "time"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    mark: str

    @property
    def runs(self) -> bool:
        """Whether the tests run it: everything that is code or commands and has no mark."""
        return self.language in ("python", *SHELLS) and not NOT_RUN.fullmatch(self.mark)

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def text_of(page: str) -> str:
    return (HERE / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    text, found = text_of(page), []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        found.append(Block(page, line, match["language"], match["text"], match["mark"] or ""))
    return found


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def without_blocks(page: str) -> str:
    return BLOCK.sub("", text_of(page))


# ------------------------------------------------------------------------------------ what runs


def nothing(project: Path) -> None:
    """The project as ``dvc repro`` left it."""


def own_audio(project: Path) -> None:
    """README: folders of one's own, and nothing made of them yet; the demonstration's evaluation cache is there."""
    for name in ("data_manifests", "models", "cache/dvector/train"):
        shutil.rmtree(project / name)
    root = project / "data" / "mine"
    (project / "data" / "demo").rename(root)
    for voice in sorted((root / "train").iterdir())[2:]:
        shutil.rmtree(voice)
    lines = (root / "eval" / "trials_demo.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    few = {name for line in lines[:6] for name in line.split()[1:]}
    kept = [line for line in lines if set(line.split()[1:]) <= few]
    (root / "eval" / "trials_vox1-o.txt").write_text("".join(kept), encoding="utf-8")
    np.save(project / "embeddings.npy", np.random.default_rng(0).random((3, 256), dtype=np.float32))


def embedding_files(project: Path) -> None:
    """Scoring: files of embeddings under the names of a list, the list, and a cohort that is large enough."""
    from seedpipe.cache import open_cache

    cache = open_cache(project / "cache" / "dvector" / "demo")
    shutil.rmtree(project / "cache" / "dvector" / "train")
    cohort = np.random.default_rng(0).standard_normal((400, 2, 256)).astype(np.float32)
    out, names = project / "cache" / "dvector" / "train", utterance_names(100, 4)
    write_cache(out, cohort, names, kind="training", network=cache.info.network)
    for name, variant in (("enrol", 0), ("test", 1), ("emb", 1)):
        rows = cache.to_numpy()[:, variant]
        np.savez(project / f"{name}.npz", embeddings=rows, utterance=cache.frame()["utterance"].to_numpy(dtype="U"))
    lines = (
        (project / "data" / "demo" / "eval" / "trials_demo.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    )
    for name, part in (("trials", lines), ("dev", lines[::2]), ("eval", lines[1::2])):
        (project / f"{name}.txt").write_text("".join(part), encoding="utf-8")


PREPARED: dict[str, Callable[[Path], None]] = {
    "README.md": own_audio,
    "docs/scoring.md": embedding_files,
}


@pytest.fixture
def project(
    request: pytest.FixtureRequest, demo_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the small project for one page, as the working directory."""
    page: str = request.param
    folder = tmp_path / "project"
    copied(demo_project, folder)
    PREPARED.get(page, nothing)(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


def lines_of(block: Block) -> list[str]:
    """Commands of a block, one a line, without comments."""
    text = block.text.replace("\\\n", " ")
    return [line for line in (re.sub(r"(^|\s)#.*", "", line).rstrip() for line in text.splitlines()) if line]


def run_shell(block: Block, folder: Path) -> None:
    for line in lines_of(block):
        words = shlex.split(line)
        # Anything else, as pip or apt-get, would change the machine that runs the tests.
        assert words[0] in ("seedpipe", "dvc"), f"{block.where}: mark the block with '<!-- not run: REASON -->': {line}"
        if words[0] == "seedpipe":
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, f"{block.where}: {line}: {result.stderr}"
        else:
            run(folder, *words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "project"),
    [(page, page) for page in USER_PAGES if any(block.runs for block in blocks(page))],
    indirect=["project"],
)
def test_the_blocks_of_a_page_run_in_order(page: str, project: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.runs and block.language == "python":
            code = compile("\n" * (block.line - 1) + block.text, block.page, "exec")
            exec(code, namespace)  # noqa: S102
        elif block.runs:
            run_shell(block, project)
    assert any(block.runs for block in blocks(page))


def test_what_is_not_run_has_a_reason_and_what_runs_has_a_language() -> None:
    for block in all_blocks():
        if block.mark.startswith("not run") or block.language in SHELLS:
            assert not block.mark or NOT_RUN.fullmatch(block.mark), block.where
        assert block.language in ("", "text", "python", "yaml", "toml", *SHELLS), block.where
        if block.language == "toml":
            assert tomllib.loads(block.text), block.where
        if block.language in ("", "text"):
            commands = [line for line in block.text.splitlines() if re.match(r"(seedpipe (?!on )|dvc |pip )", line)]
            assert not commands, f"{block.where}: a block of commands has no language, and so nobody runs it"


def test_only_pages_of_corpora_are_spared() -> None:
    unmarked = [block for block in all_blocks() if block.runs and block.page not in USER_PAGES]
    assert {block.page for block in unmarked} <= set(CORPUS_PAGES)


def test_python_that_is_not_run_compiles_and_imports_what_exists() -> None:
    for block in all_blocks():
        if block.language == "python" and not block.runs:
            compile(block.text, block.where, "exec")
            imports = [line for line in block.text.splitlines() if re.match(r"(from seedpipe\S* )?import ", line)]
            with contextlib.suppress(MissingExtraError):  # a tool that is not in the environment of the tests
                exec("\n".join(imports), {})  # noqa: S102


# ------------------------------------------------------------------------------------ commands that parse


def seedpipe_commands(line: str) -> Iterator[list[str]]:
    """Arguments of every call of seedpipe in a line of a shell script, with variables filled in."""
    line = re.sub(r'"?\$\{\w+\[@\]\}"?', "", line)
    line = re.sub(r"\$\{?\w+\}?", "1", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    for operator, group in itertools.groupby(lexer, lambda word: set(word) <= set("&|;")):
        words = [] if operator else list(group)
        while words and (words[0] in WORDS_BEFORE or re.fullmatch(r"\w+=.*", words[0])):
            words = words[1:]
        if words[:1] == ["seedpipe"]:
            yield words[1:]


def parse(arguments: list[str]) -> None:
    """Parse a call as the command would, and do nothing."""
    command: Any = get_command(app)
    context = command.make_context("seedpipe", list(arguments))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def test_every_call_of_the_command_parses() -> None:
    checked = 0
    for block in all_blocks():
        if block.language in SHELLS:
            for line in lines_of(block):
                for arguments in seedpipe_commands(line):
                    if arguments[:1] == ["--install-completion"]:
                        continue
                    try:
                        parse(arguments)
                    except Exception as error:
                        pytest.fail(f"{block.where}: {line}: {getattr(error, 'message', error)}")
                    checked += 1
    assert checked > 30


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its path."""
    for name, each in getattr(command, "commands", {}).items():
        yield from leaves(each, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


@pytest.mark.parametrize(
    ("path", "command"),
    list(leaves(get_command(app))),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_every_command_has_an_example_that_parses(path: tuple[str, ...], command: Any) -> None:
    examples = [line.strip() for line in (command.help or "").splitlines() if line.strip().startswith("Example: ")]
    assert examples, f"seedpipe {' '.join(path)} has no example"
    for example in examples:
        words = shlex.split(example.removeprefix("Example: "))
        assert words[: len(path) + 1] == ["seedpipe", *path]
        parse(words[1:])


def test_commands_in_sentences_exist() -> None:
    """In a sentence a command may lack arguments; its name and its options have to exist."""
    known = {
        path: {option for each in command.params for option in each.opts} for path, command in leaves(get_command(app))
    }
    groups = {path[:1] for path in known if len(path) > 1}
    for page in PAGES:
        for span in re.findall(r"`(seedpipe [a-z][^`\n]*)`", without_blocks(page)):
            words = span.split()[1:]
            path = tuple(words[:2]) if tuple(words[:1]) in groups and len(words) > 1 else tuple(words[:1])
            if path in groups or words[:1] == ["COMMAND"] or "|" in span:
                continue
            assert path in known, f"{page}: {span}"
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert options <= known[path] | {"--help"}, f"{page}: {span}"


def fields(keys: list[str]) -> bool:
    """Whether nested keys lead to a parameter."""
    here: Any = Params
    for key in keys:
        here = getattr(here, "model_fields", {}).get(key)
        if here is None:
            return False
        here = here.annotation
    return True


def test_parameters_that_are_named_exist() -> None:
    sections = "|".join(Params.model_fields)
    for page in [page for page in PAGES if page != "CHANGELOG.md"]:  # which tells of former names
        text = text_of(page)
        named = re.findall(rf"-S '?((?:{sections})[\w.]*)=", text)
        named += re.findall(rf"`((?:{sections})(?:\.[a-z_]+)+)(?=[:`=])", text)
        named = [name for name in named if not re.search(r"\.(csv|json|md|py|sbatch|txt)$", name)]
        for name in named:
            assert fields(name.split(".")), f"{page}: {name}"


def test_yaml_blocks_are_parameters(tmp_path: Path) -> None:
    checked = 0
    for block in all_blocks():
        if block.language == "yaml" and set(yaml.safe_load(block.text)) & set(Params.model_fields):
            (tmp_path / "params.yaml").write_text(block.text, encoding="utf-8")
            assert load_params(tmp_path / "params.yaml")
            checked += 1
    assert checked >= 3


def test_targets_and_scripts_that_are_named_exist() -> None:
    makefile = text_of("Makefile")
    for page in PAGES:
        for target in re.findall(r"(?:^|`|')make ([a-z]+)(?=[`'\s])", text_of(page), flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"{page}: make {target}"
        for script in re.findall(r"\b(?:benchmarks|docs/images|stages|tests)/(?:\w+/)*\w+\.py", text_of(page)):
            assert (HERE / script).is_file(), f"{page}: {script}"


# ------------------------------------------------------------------------------------ links, figures


def anchors(page: Path) -> set[str]:
    """Anchors of headings, as GitHub and mkdocs make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (HERE / page).parent / name if name else HERE / page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(target), f"{page}: {link}"


def test_every_figure_names_what_made_it() -> None:
    figures = set()
    for page in USER_PAGES:
        for mark, image in re.findall(
            r"(?:^<!-- figure: (.*?) -->\n)?^!\[[^\]]*\]\(([^)]*)\)", text_of(page), flags=re.MULTILINE
        ):
            figures.add(((HERE / page).parent / image).resolve())
            assert mark, f"{page}: no comment 'figure: COMMAND' above {image}"
            words = shlex.split(mark)
            if words[0] == "python":
                assert (HERE / words[1]).is_file(), f"{page}: {mark}"
            else:
                assert list(seedpipe_commands(mark)), f"{page}: {mark}"
                parse(words[1:])
    assert figures == {path for path in (HERE / "docs" / "images").iterdir() if path.suffix in (".svg", ".png")}


def test_the_picture_of_the_pipeline_is_what_its_script_draws() -> None:
    script = runpy.run_path(str(HERE / "docs" / "images" / "pipeline.py"))
    assert script["drawing"]() == text_of("docs/images/pipeline.svg")


# ------------------------------------------------------------------------------------ errors, glossary


def shown_errors() -> dict[str, str]:
    """Class and message of every error on the page."""
    found = re.findall(r"^##+ .*?`(\w+)`\n\n```text\n(.*?)\n```$", text_of("docs/errors.md"), flags=re.MULTILINE)
    return dict(found)


def test_every_class_of_errors_is_on_its_page_with_cause_and_cure() -> None:
    shown = shown_errors()
    assert set(shown) == set(errors.__all__) - {"SeedpipeError"}
    page = text_of("docs/errors.md")
    assert page.count("**Cause.**") == page.count("**Cure.**") == len(shown)


@pytest.fixture(scope="module")
def provoking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("provoked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        provoked_errors.prepare()
    return folder


@pytest.mark.parametrize("kind", provoked_errors.PROVOKED)
def test_messages_of_errors_are_real(kind: str, provoking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(provoking)
    pattern = ".*?".join(map(re.escape, shown_errors()[kind].split("...")))
    assert re.fullmatch(pattern, provoked_errors.message(kind)), provoked_errors.message(kind)


def test_the_glossary_is_short_and_says_each_term_once() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", text_of("docs/glossary.md"), flags=re.MULTILINE)
    terms = [term for row, _ in rows for term in row.split(", ") if row not in ("term", "---")]
    assert len(set(terms)) == len(terms) > 60
    assert max(len(meaning) for _, meaning in rows) < 200


# ------------------------------------------------------------------------------------ the site


class Loads(html.parser.HTMLParser):
    """What a browser would load for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and "canonical" not in (given.get("rel") or ""):
            self.found.append(given.get("href") or "")
        elif tag in ("script", "img", "iframe", "source", "object", "video"):
            self.found.append(given.get("src") or given.get("data") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` does; ``--quiet`` would keep its warnings from counting as errors."""
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    pytest.importorskip("material", reason="the extra 'docs' is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    for page in PAGES[1:]:
        name = page.removeprefix("docs/").replace("README.md", "index.md").replace(".md", ".html")
        assert name in pages
        assert (site / name).read_text(encoding="utf-8").count("<pre>") >= len(blocks(page)), page
    for page in pages:
        loads = Loads()
        loads.feed((site / page).read_text(encoding="utf-8"))
        assert loads.found
        assert not [each for each in loads.found if re.match(r"(https?:)?//", each)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_every_module_of_the_reference_has_a_page_of_its_public_names(site: Path) -> None:
    text = text_of("docs/api.md")
    modules = re.findall(r"^\| \[`(seedpipe\.[\w.]+)`\]", text, flags=re.MULTILINE)
    assert {f"seedpipe.{name}" for name in seedpipe.__all__} <= set(re.findall(r"`(seedpipe\.\w+)`", text))
    assert {path.stem for path in (site / "api").iterdir()} == set(modules)
    overview = (site / "api.html").read_text(encoding="utf-8")
    identifiers: set[str] = set()
    for name in modules:
        assert f'href="api/{name}.html"' in overview
        page = (site / "api" / f"{name}.html").read_text(encoding="utf-8")
        identifiers |= set(re.findall(r'id="(seedpipe[\w.]*)"', page))
        assert name in identifiers
        assert ":func:" not in page
    assert {
        "seedpipe.enhancers.Enhancer.load",
        "seedpipe.metrics.eer",
        "seedpipe.cache.open_cache",
    } <= identifiers
    assert not [name for name in identifiers if re.search(r"\._(?!_)", name)]


def test_links_are_called_by_titles_not_by_files(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"<a [^>]*>(?:<code>)?[\w./-]+\.(?:md|html)(?:</code>)?</a>", text), path
