"""What a process has from its surroundings: standard streams, which may be closed, and signals that end it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import signal
import sys
from types import FrameType
from typing import IO


class Stop:
    """What ends a command early: Ctrl-C, or a signal that is taken as Ctrl-C is."""

    signal = signal.SIGINT

    @property
    def heard(self) -> bool:
        """Whether a signal other than that of Ctrl-C, of which Python tells nobody, has come."""
        return self.signal != signal.SIGINT

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Do as Ctrl-C does; a second signal of these kinds finds the command on its way out."""
        if self.signal == signal.SIGINT:
            self.signal = signal.Signals(number)
            pressed = signal.getsignal(signal.SIGINT)
            (pressed if callable(pressed) else signal.default_int_handler)(signal.SIGINT, frame)


def open_streams() -> None:
    """Give closed streams a place, or the next file would get their number; no text fails for lack of letters."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.fstat(number)
                continue
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def mute() -> None:
    """Send what is still to be written to nobody."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def can_draw(stream: IO[str]) -> bool:
    """Whether a bar can be drawn again and again: in a terminal, and in a notebook that has what rich needs there."""
    if type(stream).__module__.startswith("ipykernel."):
        return importlib.util.find_spec("ipywidgets") is not None
    return stream.isatty() and os.environ.get("TERM") != "dumb"
