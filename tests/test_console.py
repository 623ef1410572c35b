"""seedpipe.console: exit codes, one line for an error, and progress that informs without flooding."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from seedpipe import console
from seedpipe.console import INTERRUPTED, Progress, guarded, say, show
from seedpipe.errors import CacheError


class Clock:
    now = 0.0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@guarded
def fail_with(error: BaseException) -> None:
    """Raise what is given."""
    raise error


def test_a_guarded_function_gives_its_result_and_keeps_its_name() -> None:
    @guarded
    def double(number: int, *, plus: int = 0) -> int:
        """Twice."""
        return 2 * number + plus

    assert double(4, plus=1) == 9
    assert (double.__name__, double.__doc__) == ("double", "Twice.")


def test_an_error_of_ours_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        fail_with(CacheError("there is no\ncache", expected="one", remedy="run\n  extract", file="x", row=3))
    assert caught.value.code == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "seedpipe: error: x, row 3: there is no cache; expected one; run extract\n"


def test_an_error_of_the_file_system_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        fail_with(OSError(errno.ENOSPC, "No space left on device", "/data/scores.csv"))
    assert caught.value.code == 1
    assert capsys.readouterr().err == ("seedpipe: error: [Errno 28] No space left on device: '/data/scores.csv'\n")


def test_ctrl_c_is_one_line_and_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        fail_with(KeyboardInterrupt())
    assert caught.value.code == INTERRUPTED == 130
    text = capsys.readouterr().err
    assert text.startswith("seedpipe: interrupted")
    assert text.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), BrokenPipeError()])
def test_bugs_and_closed_pipes_are_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)):
        fail_with(error)


def test_results_go_to_stdout_and_words_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("left out: a.wav")
    show({"name": "Zoë", "rows": 3}, "3 rows", as_json=False)
    first = capsys.readouterr()
    show({"name": "Zoë", "rows": 3}, "3 rows", as_json=True)
    second = capsys.readouterr()
    assert (first.out, first.err) == ("3 rows\n", "left out: a.wav\n")
    assert json.loads(second.out) == {"name": "Zoë", "rows": 3}
    assert "Zoë" in second.out


def test_a_plain_stream_gets_a_line_every_ten_seconds(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress("extract", "utterances", stream)
    for done in range(1, 1001):
        clock.now = done * 0.05  # 20 per second, 50 seconds in all
        progress(done, 1000)
    lines = stream.getvalue().splitlines()
    assert 4 <= len(lines) <= 6
    assert lines[0] == "extract: 200/1,000 utterances, 20/s, 40 s left"
    assert lines[-1] == "extract: 1,000/1,000 utterances, 20/s, done in 50 s"
    assert "\r" not in stream.getvalue()


def test_a_terminal_redraws_one_line(clock: Clock) -> None:
    stream = Terminal()
    progress = Progress("extract", "utterances", stream)
    for done in range(1, 1001):
        clock.now = done * 0.01
        progress(done, 1000)
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("done in 10 s\n")
    assert 50 <= text.count("\r\x1b[2K") <= 101


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4, "done in 4 s"), (59.6, "done in 1 min 00 s"), (61, "done in 1 min 01 s"), (3725, "done in 1 h 02 min")],
)
def test_times_are_readable(clock: Clock, seconds: float, text: str) -> None:
    stream = io.StringIO()
    progress = Progress("train", "epochs", stream)
    clock.now = seconds
    progress(5, 5, ", loss 0.5000")
    assert stream.getvalue().endswith(f"{text}, loss 0.5000\n")


def test_nothing_done_yet_is_no_division_by_zero(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress("extract", "utterances", stream)
    clock.now = 60.0
    progress(0, 10)
    assert stream.getvalue() == "extract: 0/10 utterances, 0/s, time left unknown\n"


@pytest.mark.parametrize("total", [0, 1])
def test_instant_work_has_a_final_line(clock: Clock, total: int) -> None:
    stream = io.StringIO()
    Progress("manifest", "files", stream)(total, total)
    assert clock.now == 0.0
    assert stream.getvalue().startswith(f"manifest: {total}/{total} files")
    assert stream.getvalue().endswith("done in 0 s\n")


def test_progress_goes_to_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    Progress("manifest", "files")(2, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("manifest: 2/2 files")


def test_progress_written_to_a_file_is_plain(tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("w", encoding="utf-8") as stream:
        Progress("manifest", "files", stream)(2, 2)
    assert "\x1b" not in (tmp_path / "log.txt").read_text(encoding="utf-8")
