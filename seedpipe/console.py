"""What a person at a terminal meets: progress and errors on stderr, results on stdout, exit codes.

Exit codes: 0 done, 1 data or user error, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import IO, ParamSpec, TypeVar

from seedpipe.errors import SeedpipeError

__all__ = ["INTERRUPTED", "Progress", "duration", "guarded", "say", "show"]

# OpenMP threads that wait for each other in a loop slow training several times down as soon as another program wants a
# core. Commands ask them to sleep instead, before torch is loaded; whoever has set the variable knows better.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

P = ParamSpec("P")
R = TypeVar("R")
FAILED, INTERRUPTED = 1, 130
LINE_SECONDS = 10.0
REDRAW_SECONDS = 0.1


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn errors of ours and of the file system into one line and an exit code, and Ctrl-C into how to go on."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BrokenPipeError:
            raise  # nobody reads any more, as in '| head': typer leaves quietly
        except (SeedpipeError, OSError) as error:
            say(f"seedpipe: error: {error}")
            raise SystemExit(FAILED) from error
        except KeyboardInterrupt as error:
            say("seedpipe: interrupted; what is finished is kept, and the same command goes on from there")
            raise SystemExit(INTERRUPTED) from error

    return run


def say(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def show(result: object, text: str, *, as_json: bool) -> None:
    """Write a result to stdout: for people, or for machines as JSON."""
    print(json.dumps(result, indent=1, ensure_ascii=False) if as_json else text, flush=True)  # noqa: T201


class Progress:
    """Rate and time left: one line that is redrawn in a terminal, a plain line every ten seconds elsewhere.

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
    >>> Progress("extract", "utterances", stream)(2, 2)
    >>> stream.getvalue().startswith("extract: 2/2 utterances")
    True
    """

    def __init__(self, label: str, unit: str, stream: IO[str] | None = None) -> None:
        self.label, self.unit, self.stream = label, unit, stream or sys.stderr
        self.started = self.written = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Note that ``done`` of ``total`` are done."""
        now = time.monotonic()
        terminal = self.stream.isatty()
        if done < total and now - self.written < (REDRAW_SECONDS if terminal else LINE_SECONDS):
            return
        self.written = now
        rate = done / max(now - self.started, 1e-9)
        left = f"done in {duration(now - self.started)}"
        if done < total:
            left = f"{duration((total - done) / rate)} left" if done else "time left unknown"
        text = f"{self.label}: {done:,}/{total:,} {self.unit}, {_rate(rate)}/s, {left}{note}"
        end = "\n" if done >= total or not terminal else ""
        self.stream.write(f"\r\x1b[2K{text}{end}" if terminal else f"{text}{end}")
        self.stream.flush()


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
