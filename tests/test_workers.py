"""Calls on the processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest
from patience import PATIENCE, wait_for

from seedpipe.errors import AudioError, ParamsError, WorkerLostError
from seedpipe.workers import Engine, unordered, visible_gpus

TWO = Engine(workers=2)


def square(number: int, seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return number * number


def told(number: int, seconds: float) -> int:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
    return square(number, seconds)


def process(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def meet(_: int, folder: Path) -> int:
    """Wait until two processes have come here; one may do everything before the other has started."""
    (folder / str(os.getpid())).touch()
    wait_for(lambda: len(list(folder.iterdir())) > 1)
    return os.getpid()


def gpu(_: int, folder: Path) -> str:
    meet(_, folder)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def wait_for_mark(number: int, mark: Path) -> int:
    """Number 1 ends when there is a mark."""
    if number == 1:
        wait_for(mark.exists)
    return number


def refuse(number: int) -> int:
    if number == 3:
        raise AudioError("is silent", expected="sound", remedy="record it again", file="a.wav", row=7)
    return number


def die(number: int, mark: Path | None) -> int:
    """Be killed at number 3, once if there is a mark to leave."""
    if number == 3 and not (mark and mark.exists()):
        if mark:
            mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def numbers(count: int, *rest: object) -> Iterator[tuple[object, ...]]:
    return ((number, *rest) for number in range(count))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_call_gives_its_result_once_on_two_processes(tmp_path: Path) -> None:
    assert sorted(unordered(square, numbers(50), TWO)) == [number**2 for number in range(50)]
    used = set(unordered(meet, numbers(20, tmp_path), TWO))
    assert len(used) == 2
    assert os.getpid() not in used


def test_one_worker_is_this_process() -> None:
    assert set(unordered(process, numbers(2), Engine(workers=1))) == {os.getpid()}


def test_results_come_before_the_last_call_is_done(tmp_path: Path) -> None:
    results = unordered(wait_for_mark, [(number, tmp_path / "mark") for number in (1, 0)], TWO)
    assert next(results) == 0
    results.close()


def test_calls_are_read_little_by_little() -> None:
    read: list[int] = []

    def calls() -> Iterator[tuple[int, float]]:
        for number in range(100):
            read.append(number)
            yield number, 0.01

    ahead = [len(read) - done for done, _ in enumerate(unordered(square, calls(), TWO), start=1)]
    assert len(ahead) == 100
    assert max(ahead) <= 4 * TWO.workers


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_function_arrives_as_it_is(workers: int) -> None:
    with pytest.raises(AudioError) as caught:
        list(unordered(refuse, numbers(20), Engine(workers)))
    error = caught.value
    assert (error.found, error.expected, error.remedy) == ("is silent", "sound", "record it again")
    assert (error.file, error.row) == ("a.wav", 7)


def test_an_error_of_the_calls_arrives_as_it_is() -> None:
    def calls() -> Iterator[tuple[int]]:
        yield from [(number,) for number in range(10)]
        raise AudioError("no more rows")

    with pytest.raises(AudioError, match="no more rows"):
        list(unordered(square, calls(), TWO))


def test_after_a_killed_worker_the_calls_may_be_submitted_again(tmp_path: Path) -> None:
    with pytest.raises(WorkerLostError, match="died"):
        list(unordered(die, numbers(20, tmp_path / "mark"), TWO))
    assert sorted(unordered(die, numbers(20, tmp_path / "mark"), TWO)) == list(range(20))


def test_closing_early_ends_the_workers_and_drops_the_waiting_calls() -> None:
    read: list[int] = []
    results = unordered(process, ((number,) for number in range(1_000) if read.append(number) is None), TWO)
    used = {next(results) for _ in range(6)}
    results.close()
    assert not any(alive(pid) for pid in used)
    assert len(read) < 100


def test_no_worker_outlives_the_last_result() -> None:
    assert not any(alive(pid) for pid in set(unordered(process, numbers(10), TWO)))


def test_work_that_the_caller_has_with_joblib_goes_on() -> None:
    theirs = joblib.Parallel(2, return_as="generator")(joblib.delayed(square)(number, 0.1) for number in range(6))
    assert next(theirs) == 0
    assert sorted(unordered(square, numbers(4), TWO)) == [0, 1, 4, 9]
    assert list(theirs) == [1, 4, 9, 16, 25]


def test_processes_share_the_gpus_evenly_and_a_new_one_takes_the_place_of_a_lost_one(tmp_path: Path) -> None:
    engine = Engine(2, gpus=("3", "GPU-a"))
    with pytest.raises(WorkerLostError):
        list(unordered(die, numbers(20, tmp_path / "mark"), engine))
    (tmp_path / "met").mkdir()
    assert set(unordered(gpu, numbers(12, tmp_path / "met"), engine)) == {"3", "GPU-a"}


@pytest.mark.parametrize(
    ("visible", "most", "names"),
    [(None, 0, ("0", "1", "2")), (None, 2, ("0", "1")), ("5, 7,GPU-a", 0, ("5", "7", "GPU-a")), ("5,7,9", 1, ("5",))],
)
def test_gpus_have_the_names_by_which_a_process_is_shown_them(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, most: int, names: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert visible_gpus(most) == names
    with pytest.raises(ParamsError, match=r"found 3 GPUs; expected machine\.gpus: 4"):
        visible_gpus(4)


@pytest.mark.parametrize("end", ["closed", "an error"])
def test_what_is_to_be_finished_is_finished_in_this_process(end: str) -> None:
    finished: list[bool] = []
    results = unordered(refuse, numbers(9), Engine(1), lambda: finished.append(True))
    assert next(results) == 0
    assert not finished
    if end == "closed":
        results.close()
    else:
        with pytest.raises(AudioError):
            list(results)
    assert finished == [True]


@pytest.mark.usefixtures("hear_signals")
def test_ctrl_c_sent_twice_to_all_processes_prints_no_more_than_what_was_cleaned_up() -> None:
    script = (
        "import test_workers as t\n"
        "from joblib.externals.loky import ProcessPoolExecutor as Pool\n"
        "def close(*arguments, end=Pool.shutdown, **options):\n"
        "    print('closing', flush=True)\n"
        "    input()\n"
        "    end(*arguments, **options)\n"
        "Pool.shutdown = close\n"
        "try:\n"
        "    list(t.unordered(t.told, t.numbers(1_000, 0.2), t.TWO))\n"  # a worker prints, this process waits
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    command = [sys.executable, "-c", script]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, cwd=Path(__file__).parent, **pipes, text=True, process_group=0) as program:
        assert program.stdout is not None
        program.stdout.readline()
        os.killpg(program.pid, signal.SIGINT)
        while program.stdout.readline() not in ("closing\n", ""):
            pass
        os.killpg(program.pid, signal.SIGINT)
        out, err = program.communicate("\n", timeout=PATIENCE)
    assert err == ""
    assert out.endswith("interrupted\n")


def test_what_an_interrupted_command_left_is_removed_without_a_word() -> None:
    script = (
        "import os, signal\n"
        "import test_workers as t\n"
        "from joblib.externals.loky.backend import resource_tracker\n"
        "next(t.unordered(t.square, t.numbers(9), t.TWO))\n"
        "resource_tracker.register('/seedpipe-is-not-there', 'semlock')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script]
    program = subprocess.run(command, cwd=Path(__file__).parent, stderr=subprocess.PIPE, check=False)
    assert (program.returncode, program.stderr) == (-signal.SIGKILL, b"")  # read until the tracker has ended too


def test_a_call_that_comes_just_before_the_end_is_not_lost_in_loky(monkeypatch: pytest.MonkeyPatch) -> None:
    from joblib.externals.loky import process_executor

    thread = process_executor._ExecutorManagerThread
    wait = thread.wait_result_broken_or_wakeup

    def wait_long(self: object) -> object:
        answer = wait(self)
        time.sleep(0.1)  # calls are submitted, and the pool is closed, while loky's thread is busy
        return answer

    monkeypatch.setattr(thread, "wait_result_broken_or_wakeup", wait_long)
    for _ in range(2):
        with pytest.raises(AudioError):
            list(unordered(refuse, numbers(20), TWO))
