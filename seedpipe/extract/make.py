"""Have shards made by workers, unit by unit, whatever happens to a worker."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seedpipe.errors import WorkerLostError
from seedpipe.extract import shards
from seedpipe.extract.plan import Extraction
from seedpipe.extract.shards import Finished, Job, Part
from seedpipe.extract.spec import ExtractionSpec
from seedpipe.extract.units import note_of, read_note, read_part, units
from seedpipe.extract.work import Made, let_go, make_unit
from seedpipe.workers import Engine, unordered

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback

LOG = logging.getLogger(__name__)
LOOK_SECONDS = 0.5  # between two looks at how far the units in hand are
NOTHING = Path()  # in the place of a unit


def make_shards(wanted: Extraction, numbers: Iterable[int], progress: ProgressCallback | None) -> list[Finished]:
    """Make what is missing of some shards.

    When a worker dies, the others go on, unless it dies over the same unit a second time.

    Raises
    ------
    WorkerLostError
        A worker died twice; the text names the utterances that it had in hand.
    """
    making = _Making(wanted, numbers, progress)
    suspects: set[Path] = set()
    while making.look_for_missing():
        try:
            making.run()
        except WorkerLostError as error:
            suspects |= making.blame(error, suspects)
    return [making.finished[number] for number in sorted(making.finished)]


class _Begun:
    """A shard that is being made of several units."""

    def __init__(self, job: Job, parts: list[Job]) -> None:
        self.job, self.parts, self.missing = job, parts, {part.path for part in parts}
        self.failures: list[shards.Failure] = []


class _Making:
    """The shards of one run."""

    def __init__(self, wanted: Extraction, numbers: Iterable[int], progress: ProgressCallback | None) -> None:
        self.wanted, self.progress = wanted, progress
        self.numbers = list(numbers)
        self.total = sum(map(wanted.utterances, self.numbers))
        self.finished: dict[int, Finished] = {}
        self._begun: dict[int, _Begun] = {}
        self._open: dict[Path, Job] = {}  # units that workers have, or get next
        self._reported = 0
        self._lock = threading.Lock()
        self._interrupted: BaseException | None = None
        machine = wanted.machine
        # A cluster of the user's own has as many workers as it has, unless they are asked for by number.
        workers = machine.jobs if machine.address else wanted.workers
        self._engine = Engine(workers, machine.backend, machine.address, wanted.gpus)

    def look_for_missing(self) -> bool:
        """Find what is there, of this run and of earlier ones; whether there is anything left to do."""
        for number in self.numbers:
            if number not in self.finished and (there := shards.finished(self.wanted.spec, self.wanted.job(number))):
                self.finished[number] = there
        self._begun, self._open = {}, {}
        self._report()
        return len(self.finished) < len(self.numbers)

    def run(self) -> None:
        """Make what is missing."""
        apart = self._engine.backend != "loky" or self._engine.workers != 1
        function = make_unit if apart else functools.partial(make_unit, report=self._report)
        with (
            contextlib.closing(unordered(function, self._calls(), self._engine, let_go)) as made,
            self._watched() if apart else contextlib.nullcontext(),
        ):
            for unit in made:
                self._take(unit)
                self._report()
                if self._interrupted:
                    raise self._interrupted

    def blame(self, error: WorkerLostError, suspects: set[Path]) -> set[Path]:
        """Units that were in hand when a worker died; raises if one of them was so before.

        A worker may also die with nothing in hand, when it starts or between two units: once.
        """
        doing = {path: text for path, unit in self._open.items() if (text := _take_note(unit))} or {NOTHING: ""}
        again = [text for path, text in doing.items() if path in suspects]
        if again:
            at = f" over {'; '.join(again)}" if any(again) else ""
            raise WorkerLostError(
                f"{error.found}{at}", expected=error.expected, remedy=error.remedy, file=error.file
            ) from error
        in_hand = "; ".join(doing.values()) or "nothing"
        LOG.warning("%s; in hand: %s; going on with what is missing", error.found, in_hand)
        return set(doing)

    def _calls(self) -> Iterator[tuple[ExtractionSpec, Job]]:
        """The units of what is missing, shard after shard; made when needed, as there may be a million utterances."""
        spec = self.wanted.spec
        for number in self.numbers:
            if number in self.finished:
                continue
            job = self.wanted.job(number)
            parts = units(spec, job)
            self._begun[number] = _Begun(job, parts)
            for part in parts:
                self._open[part.path] = part
                yield spec, part

    def _take(self, made: Made) -> None:
        """Note what a worker has made; the last unit of a shard makes it one."""
        del self._open[made.unit]
        begun = self._begun[made.number]
        begun.missing.remove(made.unit)
        begun.failures += made.failures
        shard = made.shard if begun.missing or made.shard else self._joined(begun)
        if shard:
            with self._lock:  # or a look in between counts its utterances twice
                self.finished[made.number] = shard
                del self._begun[made.number]

    def _joined(self, begun: _Begun) -> Finished | None:
        """Make a shard of its units; None if they have gone, as where another run has made one of them."""
        spec, job = self.wanted.spec, begun.job
        if begun.failures and not spec.skips:
            return Finished(job.number, len(job.utterances), None, tuple(begun.failures))
        parts = [part for unit in begun.parts if (part := read_part(spec, unit))]
        if len(parts) < len(begun.parts):
            return None
        done = shards.write(spec, job, Part.joined(parts, job.key))
        for unit in begun.parts:
            unit.path.unlink(missing_ok=True)
        return done

    def _report(self) -> None:
        """Say how many utterances are done, those of the units in hand too."""
        if self.progress is None:
            return
        with self._lock:
            done = sum(finished.utterances for finished in list(self.finished.values()))
            for begun in list(self._begun.values()):
                missing = begun.missing
                done += sum(len(part.utterances) for part in begun.parts if part.path not in missing)
            done += sum(map(_embedded, list(self._open.values())))
            if done > self._reported:
                self._reported = done
                self.progress(done, self.total)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Report now and then what processes have in hand."""
        ended = threading.Event()

        def watch() -> None:
            try:
                while not ended.wait(LOOK_SECONDS):
                    self._report()
            except BaseException as error:  # of the callback: raised by the thread that waits
                self._interrupted = error

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _embedded(unit: Job) -> int:
    """Utterances of a unit in hand that are embedded; the last one counts when all are stored."""
    embedded, _ = read_note(unit)
    return embedded if embedded < len(unit.utterances) else 0


def _take_note(unit: Job) -> str:
    """What a worker that died was doing with a unit; empty if it had not begun, or has finished."""
    _, doing = read_note(unit)
    if doing:
        note_of(unit).unlink(missing_ok=True)
    return doing
