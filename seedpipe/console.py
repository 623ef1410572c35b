"""What a person at a terminal meets: progress and errors on stderr, results on stdout, exit codes.

Exit codes: 0 done, 1 data or user error, 2 usage, 130 interrupted.

How much is said is one choice of the process, :func:`set_verbosity`:

=========  =====================================  ====================  ===============================
           progress                               remarks, warnings     unexpected errors
=========  =====================================  ====================  ===============================
quiet      none                                   none                  one line
normal     a bar, or a line every ten seconds     on stderr             one line
verbose    a bar, or a line every second          and paths and times   the traceback
=========  =====================================  ====================  ===============================

Errors and results are always there.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, ParamSpec, TypeAlias, TypeVar

from seedpipe.errors import SeedpipeError

if TYPE_CHECKING:
    from rich.progress import Progress

    from seedpipe.enhancers.base import TrainingPoint

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "ProgressBar",
    "ProgressCallback",
    "Verbosity",
    "complain",
    "duration",
    "guarded",
    "resumable",
    "say",
    "set_verbosity",
    "show",
    "unexpected",
]

# OpenMP threads that wait for each other in a loop slow training several times down as soon as another program wants a
# core. Commands ask them to sleep instead, before torch is loaded; whoever has set the variable knows better.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

P = ParamSpec("P")
R = TypeVar("R")
ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with how many are done, and of how many, as :class:`ProgressBar` is."""

FAILED, INTERRUPTED = 1, 130
BEGINS_AGAIN = "nothing was left half-written, and the same command begins again"
GOES_ON = "what is finished is kept, and the same command goes on from there"
REDRAW_SECONDS = 0.1


class Verbosity(Enum):
    """How much is said on stderr; the value is the time between plain lines of progress, in seconds."""

    QUIET = float("inf")
    NORMAL = 10.0
    VERBOSE = 1.0


class _Stderr:
    """What all of a process shares: how much is said, and the bar that is being drawn."""

    verbosity = Verbosity.NORMAL
    bar: Progress | None = None

    def draw(self, stream: IO[str], text: str, done: int, total: int) -> None:
        """Draw a bar, or draw it again."""
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            # Drawn by us alone: no thread, and nothing done to stdout, where results belong.
            self.bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(20, complete_style="cyan", finished_style="green"),
                console=Console(file=stream),
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.bar.add_task(text)
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], description=text, completed=done, total=total, refresh=True)

    def end_bar(self) -> None:
        """Leave a bar as it stands, so that what follows has a line of its own."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


_stderr = _Stderr()


class _Remarks(logging.Handler):
    """Logged warnings of the library are remarks."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"seedpipe: {record.getMessage()}")


def set_verbosity(verbosity: Verbosity) -> None:
    """Choose how much this process says on stderr."""
    _stderr.verbosity = verbosity
    logger = logging.getLogger("seedpipe")
    if not any(isinstance(handler, _Remarks) for handler in logger.handlers):
        logger.addHandler(_Remarks())


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn errors of ours and of the file system into one line and an exit code, and Ctrl-C into how to go on."""
    return _guard(function, BEGINS_AGAIN)


def resumable(function: Callable[P, R]) -> Callable[P, R]:
    """Do as :func:`guarded` does, for work that goes on where an interrupted run stopped."""
    return _guard(function, GOES_ON)


def _guard(function: Callable[P, R], after_interrupt: str) -> Callable[P, R]:
    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        started = time.monotonic()
        for name, value in kwargs.items():
            if isinstance(value, Path):
                _detail(f"seedpipe: {name} is {value.absolute()}")
        try:
            result = function(*args, **kwargs)
        except BrokenPipeError:
            raise  # nobody reads any more, as in '| head': typer leaves quietly
        except (SeedpipeError, OSError) as error:
            complain(f"seedpipe: error: {error}")
            raise SystemExit(FAILED) from error
        except KeyboardInterrupt as error:
            complain(f"seedpipe: interrupted; {after_interrupt}")
            raise SystemExit(INTERRUPTED) from error
        _detail(f"seedpipe: {function.__name__} took {time.monotonic() - started:.2f} s")
        return result

    return run


def unexpected(error: Exception) -> None:
    """Say that something went wrong that nobody foresaw: a line, or the traceback where much is asked for."""
    if _stderr.verbosity is Verbosity.VERBOSE:
        complain("".join(traceback.format_exception(error)).rstrip())
        return
    text = " ".join(str(error).split())
    complain(
        f"seedpipe: unexpected error: {type(error).__name__}: {text}; 'seedpipe --verbose COMMAND' shows where it "
        "happened, which a report of this defect needs"
    )


def complain(text: str) -> None:
    """Write an error to stderr, however little is to be said."""
    _stderr.end_bar()
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def say(text: str) -> None:
    """Write a remark to stderr, unless the process is to be quiet."""
    if _stderr.verbosity is not Verbosity.QUIET:
        complain(text)


def _detail(text: str) -> None:
    if _stderr.verbosity is Verbosity.VERBOSE:
        complain(text)


def show(result: object, text: str, *, as_json: bool) -> None:
    """Write a result to stdout: for people, or for machines as JSON."""
    _stderr.end_bar()
    print(json.dumps(result, indent=1, ensure_ascii=False) if as_json else text, flush=True)  # noqa: T201


class ProgressBar:
    """Rate and time left: a bar in a terminal or a notebook, plain lines in a log file.

    Parameters
    ----------
    label : str
        What is being done.
    unit : str
        What is counted.
    stream : file, optional
        Where to, stderr by default.

    Examples
    --------
    >>> import io
    >>> stream = io.StringIO()
    >>> ProgressBar("extract", "utterances", stream)(2, 2)
    >>> stream.getvalue().startswith("extract: 2/2 utterances")
    True
    """

    def __init__(self, label: str, unit: str, stream: IO[str] | None = None) -> None:
        self.label, self.unit, self.stream = label, unit, stream or sys.stderr
        self.started = self.written = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Note that ``done`` of ``total`` are done."""
        now = time.monotonic()
        drawn = _can_draw(self.stream)
        between = REDRAW_SECONDS if drawn else _stderr.verbosity.value
        if _stderr.verbosity is Verbosity.QUIET or (done < total and now - self.written < between):
            return
        self.written = now
        rate = done / max(now - self.started, 1e-9)
        left = f"done in {duration(now - self.started)}"
        if done < total:
            left = f"{duration((total - done) / rate)} left" if done else "time left unknown"
        text = f"{self.label}: {done:,}/{total:,} {self.unit}, {_rate(rate)}/s, {left}{note}"
        if drawn:
            _stderr.draw(self.stream, text, done, total)
        else:
            print(text, file=self.stream, flush=True)
        if done >= total:
            _stderr.end_bar()

    def training(self, point: TrainingPoint, steps: int) -> None:
        """Note a point of a training curve, of so many steps in all."""
        validation = "" if point.validation is None else f", validation {point.validation:.4f}"
        self(point.step, steps, f", loss {point.loss:.4f}{validation}")


def _can_draw(stream: IO[str]) -> bool:
    if type(stream).__module__.startswith("ipykernel."):
        return importlib.util.find_spec("ipywidgets") is not None  # rich draws in a notebook with it
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Examples
    --------
    >>> duration(75.2)
    '1 min 15 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
