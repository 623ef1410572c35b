"""seedpipe.extract on a GPU, as far as it shows without one: flags of torch, what is held, the provenance."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import stub_network
import torch
from conftest import ONE_JOB, RATE, STUB, TINY_PARAMS, folder_bytes, tone, write_audio, write_manifests

from seedpipe.bench.measurement import Setup, measure
from seedpipe.bench.systems import SystemSpec
from seedpipe.errors import CacheMismatchError, ClusterError, ParamsError
from seedpipe.extract import extract, extract_part, plan
from seedpipe.extract.embed import fixed_arithmetic
from seedpipe.extract.plan import Extraction
from seedpipe.params import ExtractParams, MachineParams

FIXED = (True, False, True, False, "highest")
SEEN: set[tuple[str, object]] = set()
MADE: list[weakref.ref[stub_network.Stub]] = []


def flags() -> tuple[object, ...]:
    """What decides the arithmetic of a GPU."""
    cudnn = torch.backends.cudnn
    return (
        cudnn.enabled,
        cudnn.benchmark,
        cudnn.deterministic,
        cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
    )


class Watching(stub_network.Stub):
    """A network that notes the flags."""

    def __init__(self) -> None:
        MADE.append(weakref.ref(self))

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        SEEN.add(("network", flags()))
        return super().__call__(waveforms)


class WatchingFrontend:
    """A front end that notes the flags, in the thread that mixes."""

    name, sample_rate = "watching", RATE

    def __init__(self, sample_rate: int) -> None:
        assert sample_rate == RATE

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        assert threading.current_thread() is not threading.main_thread()
        SEEN.add(("front end", flags()))
        return waveforms

    def fingerprint(self) -> str:
        return "watching"

    def to(self, device: torch.device) -> WatchingFrontend:  # noqa: ARG002
        return self


@pytest.fixture
def other_flags() -> Iterator[None]:
    """A caller who computes fast and loosely."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, torch.get_float32_matmul_precision()
    cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    SEEN.clear()
    yield
    cudnn.benchmark = before[0]
    torch.set_float32_matmul_precision(before[1])


@pytest.mark.usefixtures("other_flags")
def test_cudnn_is_on_and_exact_in_every_thread_and_then_as_it_was(manifests: Path, tmp_path: Path) -> None:
    before = flags()
    params = TINY_PARAMS.model_copy(update={"frontend": "test_device:WatchingFrontend"})
    network = "test_device:Watching"
    extract(manifests / "train", network, tmp_path / "cache", params, kind="training", machine=ONE_JOB)
    assert {("network", FIXED), ("front end", FIXED)} == SEEN
    assert flags() == before


@pytest.mark.usefixtures("other_flags")
def test_the_flags_last_until_the_last_thread_has_done() -> None:
    def compute_too() -> None:
        with fixed_arithmetic():
            assert flags() == FIXED

    before = flags()
    with fixed_arithmetic():
        other = threading.Thread(target=compute_too)
        other.start()
        other.join()
        assert flags() == FIXED
    assert flags() == before


@pytest.mark.usefixtures("other_flags")
def test_the_cost_of_a_network_is_that_of_the_same_arithmetic() -> None:
    measure(SystemSpec("test_device:Watching"), 1, Setup((1,), 0.5, 1))
    assert ("network", FIXED) in SEEN


def held() -> list[str]:
    """What is left of an extraction in this process."""
    gc.collect()
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if "bank-" in line]
    return mapped + [str(network()) for network in MADE if network()]


@pytest.mark.parametrize("update", [{}, {"precision": "bfloat16"}], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("end", ["made", "interrupted"])
def test_nothing_is_held_afterwards(manifests: Path, tmp_path: Path, update: dict[str, object], end: str) -> None:
    MADE.clear()

    def stop(done: int, _: int) -> None:
        assert held(), "the network and the banks are at work"
        if done and end == "interrupted":
            raise KeyboardInterrupt

    params: ExtractParams = TINY_PARAMS.model_copy(update=update)
    arguments = (manifests / "train", "test_device:Watching", tmp_path / "cache", params)
    try:
        extract(*arguments, kind="training", machine=ONE_JOB, progress=stop)
        assert end == "made"
    except KeyboardInterrupt:
        assert end == "interrupted"
    assert held() == []


# ------------------------------------------------------------------------------------- one device for all of a cache


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two GPUs, as far as everything asks that does not compute; what would, computes on the CPU."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Stub GPU")
    monkeypatch.setattr("torch.backends.cudnn.version", lambda: 91_002)
    monkeypatch.setattr("seedpipe.audio.augment.to_device", lambda array, _: torch.from_numpy(array))
    yield
    torch.set_autocast_enabled("cuda", False)


CPU, GPU = ONE_JOB, MachineParams(jobs=1, device="cuda")


def begin(manifests: Path, out: Path, machine: MachineParams) -> Path:
    """Interrupt an extraction after its first shard; gives the work folder."""

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(manifests / "train", STUB, out, TINY_PARAMS, kind="training", machine=machine, progress=stop)
    (work,) = out.parent.glob(f".{out.name}.*")
    return work


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(("first", "then"), [(CPU, GPU), (GPU, CPU)])
def test_what_one_device_has_begun_another_one_does_not_go_on_with(
    manifests: Path, tmp_path: Path, first: MachineParams, then: MachineParams
) -> None:
    out = tmp_path / "cache"
    work = begin(manifests, out, first)
    before = folder_bytes(work)
    message = rf"{work.name}: .*computed on {first.device}; expected {then.device}, .*machine.device: {first.device}"
    arguments = (manifests / "train", STUB, out, TINY_PARAMS)
    with pytest.raises(CacheMismatchError, match=message):
        extract(*arguments, kind="training", machine=then)
    with pytest.raises(CacheMismatchError, match=message):
        extract_part(*arguments, part=(2, 3), kind="training", machine=then)
    with pytest.raises(CacheMismatchError, match=message):
        plan(*arguments, kind="training", machine=then)
    assert folder_bytes(work) == before
    made = extract(*arguments, kind="training", machine=first)
    assert ("device" in made.info.versions) == (first is GPU)


@pytest.mark.usefixtures("gpus")
def test_work_without_its_note_is_not_taken_for_that_of_another_device(manifests: Path, tmp_path: Path) -> None:
    work = begin(manifests, tmp_path / "cache", CPU)
    (work / "self-test.json").unlink()
    stub_network.SHAPES.clear()
    extract(manifests / "train", STUB, tmp_path / "cache", TINY_PARAMS, kind="training", machine=GPU)
    assert len(stub_network.SHAPES) == 3, "all three shards were computed"


@pytest.mark.usefixtures("gpus")
def test_a_finished_cache_is_good_whatever_computed_it(manifests: Path, tmp_path: Path) -> None:
    arguments = (manifests / "train", STUB, tmp_path / "cache", TINY_PARAMS)
    old = extract(*arguments, kind="training", machine=CPU)
    before = folder_bytes(old.path)
    assert extract(*arguments, kind="training", machine=GPU).info == old.info
    assert folder_bytes(old.path) == before


@pytest.mark.usefixtures("gpus")
def test_the_gpu_and_its_arithmetic_are_in_the_provenance(manifests: Path, tmp_path: Path) -> None:
    made = extract(manifests / "train", STUB, tmp_path / "cache", TINY_PARAMS, kind="training", machine=GPU)
    assert made.info.versions["device"] == (f"Stub GPU, CUDA {torch.version.cuda}, cuDNN 91002, float32 without TF32")


# --------------------------------------------------------------------------------------------------- several GPUs, Ray


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("jobs", "gpus_wanted", "cores", "workers", "parallel"),
    [(0, 0, 16, 8, 2), (0, 1, 16, 4, 1), (0, 0, 1, 2, 2), (1, 0, 16, 1, 1), (6, 2, 16, 6, 2)],
)
def test_workers_share_the_gpus_and_the_time_left_does_not_count_them_twice(
    own_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    jobs: int,
    gpus_wanted: int,
    cores: int,
    workers: int,
    parallel: int,
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: cores)
    monkeypatch.setattr(sys.modules["seedpipe.extract.plan"], "_forward_rate", lambda _: 10.0)
    for number in range(12):
        write_audio(own_data / f"train/more/{number}.wav", tone(100 + number, 0.2))
    write_manifests(own_data, tmp_path / "manifests")
    machine = MachineParams(jobs=jobs, gpus=gpus_wanted, device="cuda")
    arguments = (tmp_path / "manifests/train", STUB, tmp_path / "cache", TINY_PARAMS)
    wanted = Extraction.of(*arguments, "training", machine)
    assert (wanted.workers, wanted.gpus) == (workers, ("0", "1")[: gpus_wanted or 2])
    planned = plan(*arguments, kind="training", machine=machine)
    assert planned.seconds == 17 * 10 / 10.0 / parallel


@pytest.mark.usefixtures("gpus")
def test_more_gpus_than_there_are_and_gpus_behind_ray_are_refused(manifests: Path, tmp_path: Path) -> None:
    arguments = (manifests / "train", STUB, tmp_path / "cache", TINY_PARAMS)
    with pytest.raises(ParamsError, match=r"found 2 GPUs; expected machine\.gpus: 3"):
        extract(*arguments, kind="training", machine=MachineParams(gpus=3))
    ray = MachineParams(backend="ray", address="127.0.0.1:1")
    with pytest.raises(ClusterError, match=r"Ray hides GPUs.*expected machine\.device: cpu"):
        extract(*arguments, kind="training", machine=ray)
