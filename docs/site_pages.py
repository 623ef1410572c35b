"""Hook of mkdocs: put pages that lie outside of docs/ into the site, and lead their links and those to them there.

A link is written as it works in the repository (``../data_manifests/musan.md``). In the site, the pages outside of
``docs/`` lie in its root, so such a link loses ``../``, and one from there back to ``docs/`` loses that.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
ROLES = re.compile(r":(?:attr|class|data|exc|func|meth|mod):(?=<code>)")
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "data_manifests/*.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Lead relative links to where the pages are in the site."""
    path = page.file.src_uri
    if any(Path(path).match(pattern) for pattern in OUTSIDE):
        return re.sub(r"\]\(((?:\.\./)*)docs/", r"](\1", markdown)
    return re.sub(r"\]\(\.\./", "](", markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Take out of docstrings what means nothing in Markdown: Sphinx roles and the mark of a literal block."""
    return ROLES.sub("", html).replace("<p>::</p>", "")
