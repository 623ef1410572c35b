"""Names of recordings: a letter with a mark may be written in two ways in Unicode, and means the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def normal(name: str) -> str:
    """A name in the normal form C of Unicode (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def two_forms(names: Iterable[str]) -> str:
    r"""Find a name that stands there in two forms of Unicode.

    Returns
    -------
    str
        Both forms in a sentence, with their marks as ASCII, since they look alike; empty where there are none.

    Examples
    --------
    >>> print(two_forms(["é", "e\u0301"]))
    '\xe9' and 'e\u0301' are one name in two forms of Unicode
    """
    first: dict[str, str] = {}
    for name in names:
        if not name.isascii() and (other := first.setdefault(normal(name), name)) != name:
            return f"{other!a} and {name!a} are one name in two forms of Unicode"
    return ""
