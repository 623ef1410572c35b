"""Every error that seedpipe raises on purpose.

::

    SeedpipeError            exit code 1: what was found, what was expected, what to do
    ├── ParamsError          params.yaml: unknown key, wrong type, impossible value
    ├── ManifestError        a manifest or the folders it describes
    ├── AudioError           one audio file that cannot be used
    ├── TrialError           a trial list
    ├── NetworkError         a speaker network or its weights
    │   └── FrontendError          a speech enhancer in front of one
    ├── CacheError           an embedding cache
    │   ├── CacheDamagedError      its bytes are not those that were written
    │   └── CacheMismatchError     it was made from something else than asked for
    ├── ExchangeError        a file of embeddings of another tool
    ├── ModelError           a trained enhancer
    ├── MetricError          scores from which a metric would be meaningless
    │   └── TooFewSpeakersError    too few speakers to resample for an interval
    ├── BusyError            another process is writing the same folder
    ├── MissingExtraError    an optional package is not installed
    ├── ShortageError        memory, threads, open files or space ran out
    └── ClusterError         a cluster of workers cannot be used
        └── WorkerLostError        a worker process died
"""

from __future__ import annotations

import contextlib
import errno
import re
from pathlib import Path

__all__ = [
    "AudioError",
    "BusyError",
    "CacheDamagedError",
    "CacheError",
    "CacheMismatchError",
    "ClusterError",
    "ExchangeError",
    "FrontendError",
    "ManifestError",
    "MetricError",
    "MissingExtraError",
    "ModelError",
    "NetworkError",
    "ParamsError",
    "SeedpipeError",
    "ShortageError",
    "TooFewSpeakersError",
    "TrialError",
    "WorkerLostError",
]


LONGEST = 2_000
"""Characters of each part of a message: what a file holds may be quoted in it, however long it is."""


class SeedpipeError(Exception):
    """Base of the tree; its text is one line of printable characters.

    Parameters
    ----------
    found : str
        What was found, as the start of a sentence.
    expected : str
        What would have been right.
    remedy : str
        What the user can do about it.
    file : Path or str, optional
        The file that the error is about.
    row : int, optional
        The line in that file, or of an array, counted from 1 as editors do.
    """

    def __init__(
        self,
        found: str,
        *,
        expected: str = "",
        remedy: str = "",
        file: Path | str | None = None,
        row: int | None = None,
    ) -> None:
        self.found, self.expected, self.remedy, self.file, self.row = found, expected, remedy, file, row
        super().__init__(self._text())

    def _text(self) -> str:
        file = [] if self.file is None else [_plain(str(self.file))]
        where = ", ".join(file if self.row is None else [*file, f"row {self.row}"])
        place = f"{where}: " if where else ""
        parts = [self.found, f"expected {self.expected}" if self.expected else "", self.remedy]
        return place + "; ".join(_plain(" ".join(part.split())) for part in parts if part)

    def __reduce__(self) -> tuple[object, ...]:
        # Workers send errors home through the joblib backend: keep the keyword-only parts.
        return _rebuild, (type(self), self.found, self.expected, self.remedy, self.file, self.row)


def _plain(text: str) -> str:
    """A text that no terminal obeys, and of too long a one the start and end."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return printable(text)


def printable(text: str, keep: str = "") -> str:
    r"""A text that no terminal obeys: control characters as Python writes them, but for those to be kept.

    Examples
    --------
    >>> print(printable("a" + chr(27) + "[2J"))
    a\x1b[2J
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


def counted(count: int, noun: str, verbs: str = "", of: int | None = None) -> str:
    """Say how many there are, noun and verb in the singular or the plural.

    Examples
    --------
    >>> counted(1, "file"), counted(1200, "row", "is/are"), counted(1, "row", "has/have", of=3)
    ('1 file', '1,200 rows are', '1 of 3 rows has')
    """
    found = f"{count:,}" if of is None else f"{count:,} of {of:,}"
    one_verb, _, many_verb = verbs.partition("/")
    verb = one_verb if count == 1 else many_verb
    return f"{found} {noun}{'' if (count if of is None else of) == 1 else 's'}{verb and ' ' + verb}"


def _rebuild(
    kind: type[SeedpipeError], found: str, expected: str, remedy: str, file: Path | str | None, row: int | None
) -> SeedpipeError:
    return kind(found, expected=expected, remedy=remedy, file=file, row=row)


class ParamsError(SeedpipeError):
    """params.yaml: unknown key, wrong type, impossible value."""


class ManifestError(SeedpipeError):
    """A manifest, or the folders that it describes, cannot be used."""


class AudioError(SeedpipeError):
    """An audio file cannot be used."""


class TrialError(SeedpipeError):
    """A trial list cannot be used."""


class NetworkError(SeedpipeError):
    """A speaker network or its weights cannot be used."""


class FrontendError(NetworkError):
    """A speech enhancer in front of a speaker network cannot be used."""


class CacheError(SeedpipeError):
    """An embedding cache cannot be used."""


class CacheDamagedError(CacheError):
    """The bytes of a cache are not those that were written."""


class CacheMismatchError(CacheError):
    """A cache was made from something else than what is asked for."""


class ExchangeError(SeedpipeError):
    """A file of embeddings cannot be imported, or an export cannot be written."""


class ModelError(SeedpipeError):
    """A trained enhancer cannot be used."""


class MetricError(SeedpipeError):
    """Scores from which a metric would be meaningless."""


class TooFewSpeakersError(MetricError):
    """A list has too few speakers to resample them for an interval."""


class BusyError(SeedpipeError):
    """Another process is writing the same folder."""


class MissingExtraError(SeedpipeError):
    """An optional package is needed and not installed."""


class ShortageError(SeedpipeError):
    """The machine ran out of memory, threads, open files or space; no defect, and nothing half-written is left."""


_LESS_AT_ONCE = "use fewer workers (--jobs, machine.jobs), end other programs, or take a machine with more memory"
_SHORT_OF = {
    errno.ENOMEM: ("memory", _LESS_AT_ONCE),
    errno.EAGAIN: (
        "processes or threads",
        "use fewer workers, or raise the limit (ulimit -u, the pids limit of a container)",
    ),
    errno.EMFILE: ("open files", "raise the limit (ulimit -n 4096)"),
    errno.ENFILE: ("open files", "end other programs"),
    errno.ENOSPC: ("space on the disk", "make room there, then run the same command again"),
    errno.EDQUOT: ("your share of the disk", "make room there, then run the same command again"),
}
# What libraries say, of which some have no class of error for it.
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad alloc",
    "bad_alloc",
)
_NO_THREADS = ("can't start new thread", "resource temporarily unavailable", "thread creation failed")


def shortage(error: BaseException) -> ShortageError | None:
    """Say in one sentence what the machine ran out of; None where it is something else.

    Examples
    --------
    >>> shortage(MemoryError()).found
    'the machine ran out of memory'
    """
    kind, text = getattr(error, "errno", None), str(error).lower()
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(word in text for word in _NO_MEMORY)):
        kind = errno.ENOMEM
    elif isinstance(error, RuntimeError) and any(word in text for word in _NO_THREADS):
        kind = errno.EAGAIN
    if isinstance(error, SeedpipeError) or kind not in _SHORT_OF:
        return None
    what, remedy = _SHORT_OF[kind]
    return ShortageError(f"the machine ran out of {what}", remedy=remedy, file=getattr(error, "filename", None))


def install(extra: str) -> str:
    """Say how to install what an extra asks for: its packages by name, wherever seedpipe itself was installed from.

    Examples
    --------
    >>> install("parquet")
    'pip install "pyarrow>=18"'
    """
    from importlib import metadata

    lines: list[str] = []
    with contextlib.suppress(metadata.PackageNotFoundError):  # run from its source
        lines = metadata.requires("seedpipe") or []
    of_extra = re.compile(rf"""extra == ['"]{extra}['"]""")
    packages = [f'"{line.partition(";")[0].strip()}"' for line in lines if of_extra.search(line)]
    return "pip install " + (" ".join(packages) or f'-e ".[{extra}]"')


class ClusterError(SeedpipeError):
    """Workers cannot be reached or cannot be used."""


class WorkerLostError(ClusterError):
    """A worker process died (killed by the system, often for lack of memory)."""
