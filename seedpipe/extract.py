"""Stage one: run a frozen network over crops and their noisy variants, and cache the embeddings.

Work is cut into shards that depend on nothing but the plan, so they may run in any order, on any worker, and be
resumed: a second run keeps the shards of the first. Everything runs in blocks of one shape, on one thread per worker,
so the same plan gives the same bytes whatever the number of workers.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seedpipe import audio, augment, cache
from seedpipe.audio import Waveform
from seedpipe.augment import Recipe
from seedpipe.errors import AudioError, CacheError, CacheMismatchError, NetworkError, SeedpipeError
from seedpipe.files import refuse_foreign
from seedpipe.manifest import Manifest, read_manifest
from seedpipe.networks import SpeakerNetwork, load_network
from seedpipe.params import ExtractParams, MachineParams
from seedpipe.workers import unordered

__all__ = ["BANKS", "extract"]

Kind = Literal["training", "evaluation"]
Progress = Callable[[int, int], None]
BANKS = {"music": "music.csv", "noise": "noise.csv", "reverb": "rir.csv"}
SPEECH = "speech.csv"
DRAWS_FOR_SOUND = 20
BLOCK = 32  # waveforms of one forward pass; a fixed shape keeps a row's embedding independent of its batch


@dataclass(frozen=True)
class _Row:
    """One utterance of the manifest."""

    utterance: str
    path: Path
    digest: str
    speaker: str


@dataclass(frozen=True)
class _Setting:
    """All that a worker needs besides the rows; hashable, so that each worker builds its tools once."""

    network: str
    device: str
    manifests: Path
    kind: Kind
    params: ExtractParams
    config: str = ""
    """Digest of everything but the speech: other noise in the same files needs other tools."""

    @property
    def variants(self) -> tuple[str, ...]:
        noisy = self.params.variants if self.kind == "training" else self.params.evaluation.conditions
        return ("clean", *noisy)

    @property
    def crops(self) -> int:
        return self.params.draws if self.kind == "training" else self.params.evaluation.crops

    @property
    def crop_samples(self) -> int:
        return self.params.crop_samples if self.kind == "training" else self.params.evaluation.crop_samples

    @property
    def seed(self) -> int:
        return self.params.seed if self.kind == "training" else self.params.evaluation.seed


@dataclass(frozen=True)
class _Cut:
    """One crop in all its variants."""

    draw: int
    start: int
    waveforms: list[Waveform]
    recipes: list[Recipe]


@dataclass(frozen=True)
class _Job:
    """One shard to be made."""

    path: Path
    key: str
    rows: tuple[_Row, ...]


@dataclass(frozen=True)
class _Done:
    """What a worker sends home."""

    number: int
    utterances: int
    shard: cache.ShardInfo | None
    failures: list[tuple[str, SeedpipeError]]


def extract(
    manifests: Path,
    network: str,
    out: Path,
    params: ExtractParams,
    *,
    kind: Kind,
    machine: MachineParams | None = None,
    progress: Progress | None = None,
) -> cache.Cache:
    """Make the cache of one corpus and one network, or go on where an interrupted run stopped.

    Parameters
    ----------
    manifests : Path
        Folder with ``speech.csv``, ``music.csv``, ``noise.csv`` and ``rir.csv``.
    network : str
        See :func:`seedpipe.networks.load_network`.
    out : Path
        Folder of the cache; it appears when it is complete.
    params : ExtractParams
    kind : {'training', 'evaluation'}
        Random crops and ``params.variants``, or evenly spaced crops and ``params.evaluation.conditions``.
    machine : MachineParams, optional
        Workers and device; no influence on the bytes.
    progress : callable, optional
        Called with utterances done and utterances in all.

    Returns
    -------
    Cache

    Raises
    ------
    AudioError
        Utterances cannot be used and ``params.on_bad_audio`` is ``fail``; ``OUT.failures.jsonl`` names all of them.
    ManifestError
        A manifest is unusable, or a noise, music or room file.
    CacheError
        ``out`` holds files that belong to no cache, or an embedding is not finite.
    CacheMismatchError
        ``out`` holds a cache made from something else.
    NetworkError
        The network is unknown, takes no crops of this length or gives embeddings of another dimension.
    """
    machine = machine or MachineParams()
    setting = _Setting(network, _device(machine), manifests, kind, params)
    speech = read_manifest(manifests / SPEECH)
    info = _describe(setting, speech)
    if finished := _finished(out, info, params):
        return finished
    config = _digest(_deciding(info, audio=False))  # not the speech: when one file is replaced, the other shards stay
    setting = dataclasses.replace(setting, config=config)
    work = out.with_name(f".{out.name}.{config[:16]}")
    work.mkdir(parents=True, exist_ok=True)
    jobs = _plan(setting, speech, work)
    if params.on_bad_audio == "fail":
        _report_failures(_visibly_bad(speech), out, work, params)  # before any network runs
    shards, failures = _run(setting, jobs, _workers(machine, setting, len(jobs)), progress)
    _report_failures(failures, out, work, params)
    if not shards:
        raise AudioError("no utterance could be used", remedy="see the failures listed", file=speech.path)
    rows = sum(shard.rows for shard in shards)
    complete = info | {"rows": rows, "shards": shards, "skipped": len(failures), "utterances": rows // setting.crops}
    return cache.publish(work, out, cache.CacheInfo(**complete))


def _describe(setting: _Setting, speech: Manifest) -> dict[str, Any]:
    """Provenance of the cache to be, all but its rows and shards."""
    network = load_network(setting.network)
    if network.min_samples > setting.crop_samples:
        raise NetworkError(
            f"crops have {setting.crop_samples} samples",
            expected=f"{network.min_samples} or more for the network {network.name}",
            remedy="raise crop_samples in params.yaml",
        )
    banks = {part: read_manifest(setting.manifests / name).digest() for part, name in _needed(setting.variants).items()}
    crops = "draws" if setting.kind == "training" else "crops"
    info: dict[str, Any] = {
        "format": cache.FORMAT,
        "kind": setting.kind,
        "network": cache.NetworkInfo(
            name=network.name,
            fingerprint=network.fingerprint(),
            dimension=network.dimension,
            sample_rate=network.sample_rate,
        ),
        "variants": setting.variants,
        "features": {
            "crop_samples": setting.crop_samples,
            crops: setting.crops,
            "shard_rows": setting.params.shard_rows,
        },
        "augmentation": setting.params.augment.model_dump(mode="json") | {"files": banks},
        "seed": setting.seed,
        "synthetic": speech.synthetic,
        "audio": speech.digest(),
        "seconds": round(speech.seconds, 3),
        "versions": _versions(),
    }
    return info | {"fingerprint": _digest(_deciding(info, audio=True))}


def _deciding(info: dict[str, Any], *, audio: bool) -> dict[str, Any]:
    """The part of the provenance that decides the numbers, with or without the speech itself."""
    names = ["format", "kind", "variants", "features", "augmentation", "seed", *(["audio"] if audio else [])]
    return {name: info[name] for name in names} | {"network": info["network"].model_dump()}


def _finished(out: Path, info: dict[str, Any], params: ExtractParams) -> cache.Cache | None:
    """The cache at ``out`` if it is the wanted one and whole; a damaged one is made anew."""
    if not out.exists():
        return None
    refuse_foreign(out, cache.FILES, "cache", CacheError)
    try:
        old = cache.open_cache(out)
        if old.info.fingerprint == info["fingerprint"]:
            old.verify()
            return None if old.info.skipped and params.on_bad_audio == "fail" else old
    except CacheError:
        return None
    for field in ("kind", "network", "variants", "features", "augmentation", "seed", "audio"):
        if getattr(old.info, field) != info[field]:
            raise CacheMismatchError(
                f"the cache there differs in '{field}': {getattr(old.info, field)!r}",
                expected=repr(info[field]),
                remedy="remove it or choose another folder",
                file=out,
            )
    return None


def _plan(setting: _Setting, speech: Manifest, work: Path) -> list[_Job]:
    """Cut the manifest into shards of whole utterances."""
    frame = speech.frame
    rows = [
        _Row(str(utterance), Path(path), str(digest), str(speaker))
        for utterance, path, digest, speaker in zip(
            frame["utterance"], frame["path"], frame["digest"], frame["speaker"], strict=True
        )
    ]
    size = max(1, setting.params.shard_rows // setting.crops)
    jobs = []
    for number, first in enumerate(range(0, len(rows), size)):
        part = tuple(rows[first : first + size])
        text = "\n".join(f"{row.utterance}\t{row.digest}\t{row.speaker}" for row in part)
        key = hashlib.sha256(f"{setting.config}\n{text}".encode()).hexdigest()
        jobs.append(_Job(work / cache.shard_name(number), key, part))
    return jobs


def _run(
    setting: _Setting, jobs: Sequence[_Job], workers: int, progress: Progress | None
) -> tuple[tuple[cache.ShardInfo, ...], list[tuple[str, SeedpipeError]]]:
    total = sum(len(job.rows) for job in jobs)
    done: list[_Done] = []
    utterances = 0
    calls = [(setting, job, number) for number, job in enumerate(jobs)]
    for result in unordered(_make_shard, calls, workers):
        done.append(result)
        utterances += result.utterances
        if progress:
            progress(utterances, total)
    done.sort(key=lambda result: result.number)
    shards = tuple(result.shard for result in done if result.shard is not None)
    return shards, [failure for result in done for failure in result.failures]


def _make_shard(setting: _Setting, job: _Job, number: int) -> _Done:
    """Make one shard in a worker, unless an earlier run has left it there."""
    shard = cache.finished_shard(job.path, job.key)
    # Where utterances were skipped the shard is made again: nothing else remembers which ones, and why.
    if shard and shard.rows == len(job.rows) * setting.crops:
        return _Done(number, len(job.rows), shard, [])
    worker = _worker(setting)
    contents, failures = worker.shard(job)
    if contents is None or (failures and setting.params.on_bad_audio == "fail"):
        return _Done(number, len(job.rows), None, failures)
    return _Done(number, len(job.rows), cache.write_shard(job.path, contents), failures)


@functools.lru_cache(maxsize=1)
def _worker(setting: _Setting) -> _Worker:
    return _Worker(setting)


class _Worker:
    """The tools of one process: the network and the banks of noise, music and rooms."""

    def __init__(self, setting: _Setting) -> None:
        import torch

        self.setting = setting
        self.network = load_network(setting.network).to(torch.device(setting.device))
        self.banks = {
            part: augment.Bank(read_manifest(setting.manifests / name), self.network.sample_rate)
            for part, name in _needed(setting.variants).items()
        }

    def shard(self, job: _Job) -> tuple[cache.Shard | None, list[tuple[str, SeedpipeError]]]:
        """Embed the utterances of a shard; those that cannot be used come back as failures."""
        failures: list[tuple[str, SeedpipeError]] = []
        labels: list[tuple[_Row, _Cut]] = []

        def waveforms() -> Iterator[Waveform]:
            for row in job.rows:
                try:
                    cuts = self.cuts(row)
                except AudioError as error:
                    failures.append((row.utterance, error))
                    continue
                for cut in cuts:
                    yield from cut.waveforms
                    cut.waveforms.clear()
                    labels.append((row, cut))

        vectors = list(_embed(self.network, waveforms(), self.setting.device))
        if not vectors:
            return None, failures
        embeddings = np.concatenate(vectors).reshape(len(labels), len(self.setting.variants), -1)
        order = _repeats(labels, self.setting.crops) if self.setting.kind == "evaluation" else _as_they_come(labels)
        columns = _columns([labels[index] for index, _ in order], [draw for _, draw in order])
        chosen = embeddings[[index for index, _ in order]]
        return cache.Shard(chosen, self.setting.variants, columns, job.key), failures

    def cuts(self, row: _Row) -> list[_Cut]:
        """Crops of one utterance with all their variants, decoded once."""
        speech = audio.read_audio(row.path, self.network.sample_rate, row.digest)
        try:
            return self._random_cuts(row, speech) if self.setting.kind == "training" else self._even_cuts(row, speech)
        except AudioError as error:
            raise AudioError(error.found, expected=error.expected, remedy=error.remedy, file=row.path) from error

    def _random_cuts(self, row: _Row, speech: Waveform) -> list[_Cut]:
        cuts = []
        samples = self.setting.crop_samples
        for draw in range(self.setting.crops):
            generator = augment.keyed_generator(self.setting.seed, row.utterance, draw, "crop")
            start = _sounding_start(speech, samples, generator)
            clean = audio.crop(speech, start, samples)
            recipes = [self._recipe(row, draw, variant, samples) for variant in self.setting.variants]
            cuts.append(_Cut(draw, start, self._mix(clean, recipes), recipes))
        return cuts

    def _even_cuts(self, row: _Row, speech: Waveform) -> list[_Cut]:
        """Conditions apply to the whole utterance; crops of short audio coincide and are embedded once."""
        samples = self.setting.crop_samples
        recipes = [self._recipe(row, 0, variant, speech.size) for variant in self.setting.variants]
        whole = self._mix(speech, recipes)
        starts = audio.even_starts(speech.size, samples, self.setting.crops)
        return [
            _Cut(starts.index(start), start, [audio.crop(mixed, start, samples) for mixed in whole], recipes)
            for start in sorted(set(starts))
        ]

    def _recipe(self, row: _Row, draw: int, variant: str, samples: int) -> Recipe:
        generator = augment.keyed_generator(self.setting.seed, row.utterance, draw, variant)
        return augment.draw_recipe(variant, self.banks, self.setting.params.augment, samples, generator)

    def _mix(self, speech: Waveform, recipes: Iterable[Recipe]) -> list[Waveform]:
        floor = self.setting.params.augment.snr_power_floor
        return [
            augment.apply_recipe(variant, recipe, speech, self.banks, floor)
            for variant, recipe in zip(self.setting.variants, recipes, strict=True)
        ]


def _sounding_start(speech: Waveform, samples: int, generator: np.random.Generator) -> int:
    """First sample of a random crop; drawn again while it falls into digital silence, as long recordings have it."""
    for _ in range(DRAWS_FOR_SOUND):
        start = int(generator.integers(max(0, speech.size - samples) + 1))
        if audio.crop(speech, start, samples).any():
            return start
    raise AudioError(f"{DRAWS_FOR_SOUND} random crops are all silent", remedy="remove the file or cut its pauses")


def _embed(network: SpeakerNetwork, waveforms: Iterator[Waveform], device: str) -> Iterator[NDArray[np.float32]]:
    """Embed in blocks of one shape; the last block is filled up with copies, whose embeddings are dropped."""
    import torch

    block: list[Waveform] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            while True:
                block = [waveform for _, waveform in zip(range(BLOCK), waveforms, strict=False)]
                if not block:
                    return
                filled = block + [block[-1]] * (BLOCK - len(block))
                batch = torch.from_numpy(np.stack(filled)).to(device)
                vectors = network(batch)
                _check_shape(network, tuple(vectors.shape))
                yield vectors[: len(block)].float().cpu().numpy()
    finally:
        torch.set_num_threads(threads)


def _check_shape(network: SpeakerNetwork, shape: tuple[int, ...]) -> None:
    if shape != (BLOCK, network.dimension):
        raise NetworkError(
            f"the network {network.name} gave embeddings of shape {shape}",
            expected=f"{(BLOCK, network.dimension)}, as it has dimension {network.dimension}",
            remedy="correct the network or its dimension",
        )


def _as_they_come(labels: Sequence[tuple[_Row, _Cut]]) -> list[tuple[int, int]]:
    return [(index, cut.draw) for index, (_, cut) in enumerate(labels)]


def _repeats(labels: Sequence[tuple[_Row, _Cut]], crops: int) -> list[tuple[int, int]]:
    """Give every utterance its full number of crops again: (index of the cut, number of the crop)."""
    order: list[tuple[int, int]] = []
    for index, (row, cut) in enumerate(labels):
        last = index + 1 == len(labels) or labels[index + 1][0] is not row
        following = crops if last else labels[index + 1][1].draw
        order.extend((index, draw) for draw in range(cut.draw, following))
    return order


def _columns(labels: Sequence[tuple[_Row, _Cut]], draws: Sequence[int]) -> dict[str, NDArray[Any]]:
    recipes = [cut.recipes for _, cut in labels]
    return {
        "utterance": np.array([row.utterance for row, _ in labels]),
        "speaker": np.array([row.speaker for row, _ in labels]),
        "draw": np.array(draws, dtype=np.int32),
        "crop_start": np.array([cut.start for _, cut in labels], dtype=np.int64),
        "noise": np.array([[recipe.noise for recipe in row] for row in recipes]),
        "noise_offset": np.array([[recipe.noise_offset for recipe in row] for row in recipes], dtype=np.int64),
        "snr_db": np.array([[recipe.snr_db for recipe in row] for row in recipes], dtype=np.float32),
        "rir": np.array([[recipe.rir for recipe in row] for row in recipes]),
    }


def _visibly_bad(speech: Manifest) -> list[tuple[str, SeedpipeError]]:
    """Files that are missing or of another size than the manifest says; their contents are looked at when decoded."""
    bad: list[tuple[str, SeedpipeError]] = []
    columns = (speech.frame[name] for name in ("utterance", "path", "bytes"))
    for utterance, path, size in zip(*columns, strict=True):
        found = Path(path).stat().st_size if Path(path).is_file() else None
        if found != size:
            what = "there is no such file" if found is None else f"has {found} bytes instead of {size}"
            remedy = "check the path, or write the manifest again (dvc repro --force corpus, or seedpipe manifest)"
            bad.append((str(utterance), AudioError(what, remedy=remedy, file=path)))
    return bad


def _report_failures(
    failures: Sequence[tuple[str, SeedpipeError]], out: Path, work: Path, params: ExtractParams
) -> None:
    """Write failures.jsonl; stop unless failures are to be skipped."""
    beside = out.with_name(f"{out.name}.failures.jsonl")
    beside.unlink(missing_ok=True)
    (work / "failures.jsonl").unlink(missing_ok=True)
    if not failures:
        return
    lines = [
        json.dumps({"utterance": name, "file": str(error.file), "reason": error.found}, ensure_ascii=False)
        for name, error in failures
    ]
    target = work / "failures.jsonl" if params.on_bad_audio == "skip" else beside
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if params.on_bad_audio == "fail":
        if not any(work.iterdir()):
            work.rmdir()
        first = failures[0][1]
        more = f" ({len(failures)} utterances cannot be used; {beside} lists them)"
        raise AudioError(first.found + more, expected=first.expected, remedy=first.remedy, file=first.file)


def _needed(variants: Iterable[str]) -> dict[str, str]:
    parts = {part for variant in variants for part in variant.split("+")}
    return {part: name for part, name in BANKS.items() if part in parts}


def _device(machine: MachineParams) -> str:
    import torch

    if machine.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise NetworkError("there is no CUDA device", remedy="set machine.device: auto")
    return machine.device


def _workers(machine: MachineParams, setting: _Setting, jobs: int) -> int:
    wanted = machine.jobs or (len(os.sched_getaffinity(0)) if setting.device == "cpu" else 1)
    return max(1, min(wanted, jobs))


def _versions() -> dict[str, str]:
    return {
        name: importlib.metadata.version(name) for name in ("seedpipe", "torch", "torchaudio", "numpy", "soundfile")
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
