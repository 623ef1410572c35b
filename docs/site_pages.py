"""Hook of mkdocs: what the site has beside the pages in docs/, and where its links lead.

Pages that lie outside of ``docs/`` are put into its root, and every module in the table of ``api.md`` gets a page that
mkdocstrings fills. A link is written as it works in the repository (``../data_manifests/musan.md``, or the source of a
module), and led to where its page is in the site; where its text is the name of a file, it gets the title of the page.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
ROLES = re.compile(r":(?:attr|class|data|exc|func|meth|mod):(?=<code>)")
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "data_manifests/*.md")
MODULE = re.compile(r"\[`(seedpipe[\w.]*)`\]\((?:\.\./seedpipe/[\w/]*\.py|#[\w.]*)\)")
NAMED_BY_FILE = re.compile(r"\[`?[\w./-]+\.md`?\]\(([^)#\s]+\.md)(#[^)]*)?\)")
MEMBERS = {"seedpipe.cache": "open_cache, Cache, CacheInfo, NetworkInfo, ShardInfo"}
"""The modules of which not all public names may be relied on, and those that may."""


def modules() -> list[str]:
    """The modules of the reference, as ``api.md`` lists them."""
    return MODULE.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the modules below that of the reference."""
    reference = next(section["Reference"] for section in config.nav if "Reference" in section)
    place = next(number for number, entry in enumerate(reference) if "Python" in entry)
    pages = [{name: f"api/{name}.md"} for name in modules()]
    reference[place] = {"Python": [{"Overview": "api.md"}, *pages]}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/, and those of the modules."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for name in modules():
        members = f"    options:\n      members: [{MEMBERS[name]}]\n" if name in MEMBERS else ""
        files.append(File.generated(config, f"api/{name}.md", content=f"::: {name}\n{members}"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Lead relative links to where the pages are in the site, and name them by their titles."""
    path = page.file.src_uri
    markdown = MODULE.sub(r"[`\1`](api/\1.md)", markdown)
    if any(Path(path).match(pattern) for pattern in OUTSIDE):
        markdown = re.sub(r"\]\(((?:\.\./)*)docs/", r"](\1", markdown)
    else:
        markdown = re.sub(r"\]\(\.\./", "](", markdown)

    def titled(link: re.Match[str]) -> str:
        found = files.get_file_from_path(posixpath.normpath(posixpath.join(posixpath.dirname(path), link[1])))
        title = re.search(r"^# (.+)$", found.content_string, flags=re.MULTILINE) if found else None
        return f"[{title[1]}]({link[1]}{link[2] or ''})" if title else link[0]

    return NAMED_BY_FILE.sub(titled, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Take out of docstrings what means nothing in Markdown: Sphinx roles and the mark of a literal block."""
    return ROLES.sub("", html).replace("<p>::</p>", "")
