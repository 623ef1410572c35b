"""What a person at a terminal meets: progress and errors on stderr, results on stdout, exit codes.

Exit codes: 0 done, 1 data or user error, 2 usage, 130 interrupted (143 and 129 by SIGTERM and SIGHUP, 141 when the
reader of a pipe has gone).

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

import contextlib
import functools
import inspect
import json
import logging
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar

from seedpipe.console.process import Stop, can_draw, mute, open_streams
from seedpipe.errors import SeedpipeError, printable, shortage

if TYPE_CHECKING:
    from rich.progress import Progress

    from seedpipe.enhancers.base import TrainingPoint

__all__ = [
    "FAILED",
    "ProgressBar",
    "ProgressCallback",
    "Shown",
    "Verbosity",
    "always",
    "complain",
    "detail",
    "duration",
    "guarded",
    "never",
    "resumable",
    "run",
    "say",
    "set_verbosity",
    "show",
    "shown",
    "unexpected",
]

P = ParamSpec("P")
R = TypeVar("R")
ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with how many are done, and of how many, as :class:`ProgressBar` is."""

Shown: TypeAlias = Literal["shown"]
"""In the place of a callback: a :class:`ProgressBar`, which says nothing of work that is done in seconds."""

FAILED = 1
BEGINS_AGAIN = "nothing was left half-written, and the same command begins again"
GOES_ON = "what is finished is kept, and the same command goes on from there"
REDRAW_SECONDS = 0.1
LAYOUT = "\n\t\u00a0\u2009\u202f"
"""What of a text a terminal is to obey; names in it may hold anything."""


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
    return resumable(never)(function)


def resumable(
    goes_on: Callable[[Mapping[str, Any]], bool], failed: int = FAILED
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Do as :func:`guarded` does, for work that goes on where an interrupted run stopped, with some arguments.

    ``failed`` is the exit code of errors, for a command whose result is an exit code.
    """
    return lambda function: _guard(function, goes_on, failed)


def always(_: Mapping[str, Any]) -> bool:
    """Work that goes on whatever its arguments are."""
    return True


def never(_: Mapping[str, Any]) -> bool:
    """Work that begins again."""
    return False


def _guard(function: Callable[P, R], goes_on: Callable[[Mapping[str, Any]], bool], failed: int) -> Callable[P, R]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        started = time.monotonic()
        for name, value in kwargs.items():
            if isinstance(value, Path):
                detail(f"seedpipe: {name} is {value.absolute()}")
        try:
            result = function(*args, **kwargs)
        except BrokenPipeError as error:  # nobody reads any more, as in '| head'
            mute()
            raise SystemExit(128 + signal.SIGPIPE) from error
        except (KeyboardInterrupt, Exception) as error:
            if isinstance(error, KeyboardInterrupt) or _stop.heard:  # a library may make another error of it
                given = signature.bind(*args, **kwargs).arguments
                complain(f"seedpipe: interrupted; {GOES_ON if goes_on(given) else BEGINS_AGAIN}")
                raise SystemExit(128 + _stop.signal) from error
            known = shortage(error) or error
            if not isinstance(known, SeedpipeError | OSError):
                raise
            complain(f"seedpipe: error: {known}")
            raise SystemExit(failed) from error
        detail(f"seedpipe: {function.__name__} took {time.monotonic() - started:.2f} s")
        return result

    return run


_stop = Stop()


def run(function: Callable[[], object]) -> None:
    """Run a whole program, a command or a stage: the last guard, behind which nothing has a traceback.

    ``SIGTERM`` and a closed terminal end it as Ctrl-C does.
    """
    open_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores a closed terminal
            signal.signal(number, _stop)
    try:
        function()
    except Exception as error:
        known = shortage(error)  # of the disk under stdout, too, when click writes its help
        if known:
            complain(f"seedpipe: error: {known}")
        else:  # a defect: said in one line, or with its traceback
            unexpected(error)
        sys.exit(FAILED)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # on the way out, a second Ctrl-C has nothing left to interrupt


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
    with _quiet_stderr():
        _stderr.end_bar()
        print(printable(text, keep=LAYOUT), file=sys.stderr, flush=True)  # noqa: T201


def say(text: str) -> None:
    """Write a remark to stderr, unless the process is to be quiet."""
    if _stderr.verbosity is not Verbosity.QUIET:
        complain(text)


def detail(text: str) -> None:
    """Write what only somebody who asked for much wants to know to stderr."""
    if _stderr.verbosity is Verbosity.VERBOSE:
        complain(text)


def show(result: object, text: str, *, as_json: bool) -> None:
    """Write a result to stdout: for people, or for machines as JSON."""
    with _quiet_stderr():
        _stderr.end_bar()
    letters = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    if as_json:
        text = json.dumps(result, indent=1, ensure_ascii=not letters)
        text = "".join(c if c.isprintable() or c in LAYOUT else json.dumps(c)[1:-1] for c in text)
    print(printable(text, keep=LAYOUT), flush=True)  # noqa: T201


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """No result depends on what can be said on stderr: a full disk under a log file, or a closed terminal."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError):
        pass


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
    patient : bool
        Whether work that ends before its first line is passed over, where no bar is drawn.

    Examples
    --------
    >>> import io
    >>> stream = io.StringIO()
    >>> ProgressBar("extract", "utterances", stream)(2, 2)
    >>> stream.getvalue().startswith("extract: 2/2 utterances")
    True
    """

    def __init__(self, label: str, unit: str, stream: IO[str] | None = None, *, patient: bool = False) -> None:
        self.label, self.unit, self.stream, self.patient = label, unit, stream or sys.stderr, patient
        self.started = self.written = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Note that ``done`` of ``total`` are done."""
        now = time.monotonic()
        drawn = can_draw(self.stream)
        between = REDRAW_SECONDS if drawn else _stderr.verbosity.value
        early = now - self.written < between and (done < total or (self.patient and self.written == self.started))
        if _stderr.verbosity is Verbosity.QUIET or (early and (done < total or not drawn)):
            return
        self.written = now
        rate = done / max(now - self.started, 1e-9)
        left = f"done in {duration(now - self.started)}"
        if done < total:
            left = f"{duration((total - done) / rate)} left" if done else "time left unknown"
        text = f"{self.label}: {done:,}/{total:,} {self.unit}, {_rate(rate)}/s, {left}{note}"
        with _quiet_stderr():
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


def shown(progress: ProgressCallback | Shown | None, label: str, unit: str) -> ProgressCallback | None:
    """Give the callback that a caller of the library has passed, or the bar that it has by default."""
    return ProgressBar(label, unit, patient=True) if isinstance(progress, str) else progress


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
