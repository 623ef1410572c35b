"""seedpipe.console: exit codes, one line for an error, and progress that informs without flooding."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from patience import PATIENCE
from typer.testing import CliRunner

from seedpipe import cli, console
from seedpipe.console import (
    ProgressBar,
    Verbosity,
    always,
    complain,
    guarded,
    resumable,
    say,
    set_verbosity,
    show,
    unexpected,
)
from seedpipe.errors import CacheError

HEAVY = ("torch", "torchaudio", "diffusers", "h5py", "numpy", "pandas")


def words_of(drawn: str) -> list[str]:
    """The lines that stay on a terminal, without colours, bars and what was drawn over."""
    lines = [line.rpartition("\r")[2] for line in drawn.split("\n")]
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[━╸╺]", "", line).rstrip() for line in lines]


class Clock:
    now = 0.0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def normal() -> Iterator[None]:
    """The choice is one of the process, and so of the next test."""
    yield
    set_verbosity(Verbosity.NORMAL)


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
        fail_with(OSError(errno.EACCES, "Permission denied", "/data/scores.csv"))
    assert caught.value.code == 1
    assert capsys.readouterr().err == ("seedpipe: error: [Errno 13] Permission denied: '/data/scores.csv'\n")


def test_ctrl_c_is_one_line_and_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        fail_with(KeyboardInterrupt())
    assert caught.value.code == 130
    assert capsys.readouterr().err == (
        "seedpipe: interrupted; nothing was left half-written, and the same command begins again\n"
    )


def test_ctrl_c_says_where_work_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    @resumable(always)
    def extract() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        extract()
    assert capsys.readouterr().err == (
        "seedpipe: interrupted; what is finished is kept, and the same command goes on from there\n"
    )


def test_bugs_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        fail_with(RuntimeError("a bug"))


SHORT = {
    "memory": [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
    "processes or threads": [RuntimeError("can't start new thread"), BlockingIOError(errno.EAGAIN, "Resource")],
    "open files": [OSError(errno.EMFILE, "Too many open files", "x")],
    "space on the disk": [OSError(errno.ENOSPC, "No space left on device", "x")],
}


@pytest.mark.parametrize(("what", "error"), [(what, error) for what, errors in SHORT.items() for error in errors])
def test_what_the_machine_ran_out_of_is_one_sentence(
    what: str, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        fail_with(error)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert re.fullmatch(rf"seedpipe: error: (x: )?the machine ran out of {what}; [^\n]+\n", said)


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
    progress = ProgressBar("extract", "utterances", stream)
    for done in range(1, 1001):
        clock.now = done * 0.05  # 20 per second, 50 seconds in all
        progress(done, 1000)
    lines = stream.getvalue().splitlines()
    assert 4 <= len(lines) <= 6
    assert lines[0] == "extract: 200/1,000 utterances, 20/s, 40 s left"
    assert lines[-1] == "extract: 1,000/1,000 utterances, 20/s, done in 50 s"
    assert "\r" not in stream.getvalue()


@pytest.mark.parametrize(("seconds", "lines"), [(9.0, 0), (11.0, 1)])
def test_a_patient_bar_passes_over_what_is_soon_done(clock: Clock, seconds: float, lines: int) -> None:
    stream = io.StringIO()
    progress = ProgressBar("train", "steps", stream, patient=True)
    for done in range(1, 11):
        clock.now = seconds * done / 10
        progress(done, 10)
    assert len(stream.getvalue().splitlines()) == lines


def test_a_terminal_redraws_one_line(clock: Clock) -> None:
    stream = Terminal()
    progress = ProgressBar("extract", "utterances", stream)
    for done in range(1, 1001):
        clock.now = done * 0.01
        progress(done, 1000)
    text = stream.getvalue()
    assert words_of(text) == ["extract: 1,000/1,000 utterances, 100/s, done in 10 s", ""]
    assert 50 <= text.count("\r\x1b[2K") <= 101


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4, "done in 4 s"), (59.6, "done in 1 min 00 s"), (61, "done in 1 min 01 s"), (3725, "done in 1 h 02 min")],
)
def test_times_are_readable(clock: Clock, seconds: float, text: str) -> None:
    stream = io.StringIO()
    progress = ProgressBar("train", "epochs", stream)
    clock.now = seconds
    progress(5, 5, ", loss 0.5000")
    assert stream.getvalue().endswith(f"{text}, loss 0.5000\n")


def test_nothing_done_yet_is_no_division_by_zero(clock: Clock) -> None:
    stream = io.StringIO()
    progress = ProgressBar("extract", "utterances", stream)
    clock.now = 60.0
    progress(0, 10)
    assert stream.getvalue() == "extract: 0/10 utterances, 0/s, time left unknown\n"


@pytest.mark.parametrize("total", [0, 1])
def test_instant_work_has_a_final_line(clock: Clock, total: int) -> None:
    stream = io.StringIO()
    ProgressBar("manifest", "files", stream)(total, total)
    assert clock.now == 0.0
    assert stream.getvalue().startswith(f"manifest: {total}/{total} files")
    assert stream.getvalue().endswith("done in 0 s\n")


def test_progress_goes_to_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressBar("manifest", "files")(2, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("manifest: 2/2 files")


def test_progress_written_to_a_file_is_plain(tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("w", encoding="utf-8") as stream:
        ProgressBar("manifest", "files", stream)(2, 2)
    assert "\x1b" not in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_a_log_file_and_a_dumb_terminal_get_plain_lines(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    for stream in (io.StringIO(), Terminal()):
        progress = ProgressBar("train", "epochs", stream)
        clock.now += 20
        progress(1, 2)
        progress(2, 2)
        assert stream.getvalue() == "train: 1/2 epochs, 0.05/s, 20 s left\ntrain: 2/2 epochs, 0.1/s, done in 20 s\n"


def test_a_notebook_gets_a_bar_where_it_can_draw_one(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})  # what a running kernel prints to
    for found, bar in ((None, False), (object(), True)):
        monkeypatch.setattr(importlib.util, "find_spec", lambda _, found=found: found)
        monkeypatch.setattr(sys, "stderr", kernels())
        ProgressBar("train", "epochs")(2, 2)
        assert ("━" in sys.stderr.getvalue()) == bar


def test_a_redrawn_line_is_no_wider_than_the_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    progress = ProgressBar("extract a network with a long name", "utterances", stream)
    clock.now = 1.0
    progress(1, 10)
    complain("")  # ends the line
    assert words_of(stream.getvalue()) == ["extract a network with a lon…", ""]


@pytest.mark.parametrize("write", [say, complain, lambda text: show(None, text, as_json=False)])
def test_words_do_not_run_into_a_redrawn_line(
    clock: Clock, write: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(write)
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = ProgressBar("extract", "utterances")
    clock.now = 1.0
    progress(1, 10)
    write("words")
    everything = stream.getvalue() + capsys.readouterr().out
    assert words_of(everything) == ["extract: 1/10 utterances, 1/s, 9 s left", "words", ""]


def test_quiet_leaves_errors_and_results(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    set_verbosity(Verbosity.QUIET)
    progress = ProgressBar("extract", "utterances")
    clock.now = 60.0
    progress(1, 2)
    progress(2, 2)
    say("seedpipe: left out: a.wav")
    logging.getLogger("seedpipe.extract").warning("a worker died")
    show(None, "2 rows", as_json=False)
    with pytest.raises(SystemExit):
        fail_with(CacheError("is no cache"))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("2 rows\n", "seedpipe: error: is no cache\n")


def test_verbose_adds_paths_times_and_more_progress(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    @guarded
    def extract(*, out: Path) -> Path:
        progress = ProgressBar("extract", "utterances")
        for done in range(1, 4):
            clock.now = float(done)
            progress(done, 3)
        return out

    set_verbosity(Verbosity.VERBOSE)
    extract(out=Path("cache"))
    assert capsys.readouterr().err.splitlines() == [
        f"seedpipe: out is {Path.cwd() / 'cache'}",
        "extract: 1/3 utterances, 1/s, 2 s left",
        "extract: 2/3 utterances, 1/s, 1 s left",
        "extract: 3/3 utterances, 1/s, done in 3 s",
        "seedpipe: extract took 3.00 s",
    ]


def test_logged_warnings_are_remarks_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_verbosity(Verbosity.NORMAL)
    set_verbosity(Verbosity.NORMAL)
    logging.getLogger("seedpipe.extract").warning("a worker %s", "died")
    assert capsys.readouterr().err == "seedpipe: a worker died\n"


def defect() -> None:
    raise ZeroDivisionError("division\nby zero")


@pytest.mark.parametrize("verbosity", Verbosity)
def test_an_unexpected_error_is_a_line_or_a_traceback(
    verbosity: Verbosity, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_verbosity(verbosity)
    monkeypatch.setattr(cli, "app", defect)
    monkeypatch.setattr(console.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    text = capsys.readouterr().err
    if verbosity is Verbosity.VERBOSE:
        assert text.startswith("Traceback")
        assert "in defect" in text
    else:
        assert text.startswith("seedpipe: unexpected error: ZeroDivisionError: division by zero; 'seedpipe --verbose")
        assert text.count("\n") == 1


def test_an_unexpected_error_without_words_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    unexpected(MemoryError())
    assert capsys.readouterr().err.startswith("seedpipe: unexpected error: MemoryError")


def test_global_options_stand_before_the_command(tmp_path: Path) -> None:
    (tmp_path / "speakers.csv").write_text("utterance,speaker\na,1\nb,1\nc,2\nd,2\n", encoding="utf-8")
    command = ["trials", "make", str(tmp_path / "speakers.csv"), str(tmp_path / "trials.txt")]
    command += ["--targets", "2", "--nontargets", "2"]
    said = {option: CliRunner().invoke(cli.app, [*option, *command]) for option in ((), ("--quiet",), ("--verbose",))}
    assert {result.exit_code for result in said.values()} == {0}
    assert len({result.stdout for result in said.values()}) == 1
    assert said[()].stderr == said["--quiet",].stderr == ""
    assert f"seedpipe: table is {tmp_path / 'speakers.csv'}" in said["--verbose",].stderr
    assert "seedpipe: make took" in said["--verbose",].stderr


@pytest.mark.parametrize("arguments", [["--quiet"], ["--quiet", "--verbose", "train", "cache", "model"]])
def test_options_without_a_command_or_against_each_other_are_wrong_usage(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("target", "arguments", "goes_on"),
    [
        ("seedpipe.params.Params", ["extract", "manifests", "cache"], True),
        ("seedpipe.params.Params", ["train", "cache", "model"], True),
        ("seedpipe.params.Params", ["score", "cache", "model", "list"], False),
        ("seedpipe.params.Params", ["train", "cache", "model", "--enhancer", "whitening"], False),
        ("seedpipe.enhancers.files.enhance_file", ["enhance", "model", "in.npy", "out.npy"], False),
        ("seedpipe.enhancers.files.enhance_file", ["enhance", "model", "in.wav", "out.npy", "--network", "x"], True),
        ("seedpipe.scoring.trials.check_trials", ["trials", "check", "list"], False),
        ("seedpipe.scoring.trials.make_vcmix", ["trials", "make-vcmix", "a", "b", "c"], False),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_an_interrupted_command_says_what_the_same_command_does(
    monkeypatch: pytest.MonkeyPatch, target: str, arguments: list[str], goes_on: bool
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(target, interrupt)
    result = CliRunner().invoke(cli.app, arguments)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.startswith("seedpipe: interrupted; ")
    assert ("goes on from there" in result.stderr) == goes_on
    assert ("begins again" in result.stderr) != goes_on


@pytest.mark.parametrize(
    ("words", "completed"),
    [("seedpipe ca", ["cache", "calibrate"]), ("seedpipe cache ver", ["verify"]), ("seedpipe --qu", ["--quiet"])],
)
def test_completion_is_there_and_imports_nothing_heavy(words: str, completed: list[str]) -> None:
    environment = os.environ | {
        "_SEEDPIPE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    command = [sys.executable, "-X", "importtime", str(Path(sys.executable).with_name("seedpipe"))]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert sorted(run.stdout.split()) == completed, run.stderr[-300:]
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & set(HEAVY)


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(cli.app, ["--help"]).stdout


SAYS = """
from seedpipe.console import ProgressBar, complain, run, say, show
def command():
    ProgressBar("p", "things")(1, 1)
    say("words \u5341")
    complain("error \u5341")
    with open("file", "w") as file:
        assert file.fileno() > 2
    show({"name": "\u5341"}, "\u5341", as_json=AS_JSON)
run(command)
"""


@pytest.mark.parametrize(
    ("redirected", "code"),
    [
        ("2>&-", 0),
        ("2>/dev/full", 0),
        (">&-", 0),
        ("<&- >&- 2>&-", 0),
        (">/dev/full", 1),
    ],
)
def test_closed_and_full_streams_change_no_result(tmp_path: Path, redirected: str, code: int) -> None:
    (tmp_path / "says.py").write_text(SAYS.replace("AS_JSON", "False"), encoding="utf-8")
    command = ["sh", "-c", f'"$0" says.py {redirected}', sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert done.stdout == ("" if ">&-" in redirected.split() or code else "\u5341\n")


@pytest.mark.parametrize("words", ["--version", "--help", "train --help"])
def test_a_full_disk_under_what_typer_prints_is_no_defect(tmp_path: Path, words: str) -> None:
    command = ["sh", "-c", f'"$0" -c "from seedpipe.cli import main; main()" {words} >/dev/full', sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("seedpipe: error: the machine ran out of space on the disk")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_stream_without_letters_gets_their_numbers(tmp_path: Path, as_json: bool) -> None:
    (tmp_path / "says.py").write_text(SAYS.replace("AS_JSON", str(as_json)), encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "says.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=True)
    assert "words \\u5341\nerror \\u5341\n" in done.stderr
    assert (json.loads(done.stdout)["name"] == "\u5341") if as_json else (done.stdout == "\\u5341\n")


ENDLESS = """
import time
from seedpipe.console import guarded, run, say
@guarded
def command():
    while True:
        say("a line")
        time.sleep(0.01)
run(command)
"""


def test_a_reader_that_has_gone_ends_a_command(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS, encoding="utf-8")
    process = subprocess.Popen([sys.executable, "endless.py"], cwd=tmp_path, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(PATIENCE) == 141


@pytest.mark.usefixtures("hear_signals")
@pytest.mark.parametrize("ignored", [False, True], ids=["in the foreground", "in the background"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_a_command_are_taken_as_ctrl_c(tmp_path: Path, number: signal.Signals, ignored: bool) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS, encoding="utf-8")
    process = subprocess.Popen(
        ["sh", "-c", ("trap '' INT; " if ignored else "") + 'exec "$0" endless.py', sys.executable],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(number)
    assert process.stderr.readlines()[-1] == (
        "seedpipe: interrupted; nothing was left half-written, and the same command begins again\n"
    )
    process.stderr.close()
    assert process.wait(PATIENCE) == 128 + number


MAKES_ANOTHER_ERROR = """
import time
from seedpipe.console import guarded, run, say
@guarded
def command():
    try:
        say("a line")
        time.sleep(60)
    except BaseException:
        raise RecursionError("of a library")
run(command)
"""


@pytest.mark.usefixtures("hear_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_a_library_makes_another_error_of_is_still_that_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "makes.py").write_text(MAKES_ANOTHER_ERROR, encoding="utf-8")
    process = subprocess.Popen([sys.executable, "makes.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(number)
    assert process.stderr.readlines()[-1].startswith("seedpipe: interrupted; ")
    process.stderr.close()
    assert process.wait(PATIENCE) == 128 + number


def test_no_terminal_obeys_what_a_name_holds(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2J\x9b1m\u202e\udcff\xa0b\n"
    show({"name": name}, f"{name}\tend", as_json=False)
    say(name)
    show({"name": name}, "", as_json=True)
    plain, _, data = capsys.readouterr().out.partition("end\n")
    assert plain == "a\\x1b[2J\\x9b1m\\u202e\\udcff\xa0b\n\t"
    assert json.loads(data) == {"name": name}
    assert not re.search("[\x1b\x9b\u202e\udcff]", data)
