"""From finished shards to a cache at its place, or to a list of the utterances that cannot be used."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from seedpipe import cache
from seedpipe.audio import Manifest
from seedpipe.cache import Cache
from seedpipe.errors import AudioError, CacheError, counted
from seedpipe.extract.plan import Extraction
from seedpipe.extract.shards import Failure, Finished
from seedpipe.extract.spec import ExtractionSpec
from seedpipe.files import StrPath, link_target, whole_file

LOG = logging.getLogger(__name__)


def publish(wanted: Extraction, done: Sequence[Finished]) -> Cache:
    """Make the finished shards the cache."""
    failures = check_failures(wanted, done)
    shards = tuple(result.shard for result in done if result.shard is not None)
    if not shards:
        raise AudioError("no utterance could be used", remedy="see the failures listed", file=wanted.speech.path)
    rows = sum(shard.rows for shard in shards)
    info = cache.CacheInfo(
        **wanted.info | {"versions": wanted.info["versions"] | _gpu(wanted.spec)},
        rows=rows,
        utterances=rows // wanted.spec.rows,
        skipped=len(failures),
        shards=shards,
    )
    return cache.publish(wanted.work, wanted.out, info)


def publish_complete(wanted: Extraction) -> Cache | None:
    """Publish the cache that a run has completed without coming to publish it, if there is one."""
    info = cache.unpublished(wanted.work, wanted.info["fingerprint"])
    if info is None:
        return None
    if wanted.differs(info.network.self_test):
        wanted.begin_again()
        return None
    if info.skipped and not wanted.spec.skips:
        (wanted.work / "manifest.json").unlink()  # failures.jsonl will go, and nobody is to publish without it
        return None
    return cache.publish(wanted.work, wanted.out, info)


def kept_beside(out: StrPath) -> Path:
    """Where a finished cache waits for a run that finds nothing at ``out``, as DVC empties it before its stage runs."""
    out = link_target(out)
    return out.with_name(f"{out.name}.finished")


def take_over(wanted: Extraction) -> Cache | None:
    """Publish the cache that waits beside the place of the wanted one, if it is that one and whole."""
    try:
        found = cache.open_cache(kept_beside(wanted.out))
        if found.info.fingerprint != wanted.info["fingerprint"] or wanted.differs(found.info.network.self_test):
            return None
        found.verify()
    except CacheError:
        return None
    if found.info.skipped and not wanted.spec.skips:
        return None
    LOG.warning("%s is taken over from %s", wanted.out, found.path)
    return cache.link_cache(found, wanted.out)


def check_failures(wanted: Extraction, done: Iterable[Finished], part: str = "") -> list[Failure]:
    """Write failures.jsonl; stop unless failures are to be skipped."""
    failures = [failure for result in done for failure in result.failures]
    inside = wanted.work / "failures.jsonl"
    inside.unlink(missing_ok=True)
    if not wanted.spec.skips:
        _refuse(wanted, failures, part)
    elif failures:
        with whole_file(inside) as partial:
            partial.write_text(_lines(failures), encoding="utf-8")
    return failures


def refuse_visibly_bad(wanted: Extraction) -> None:
    """Refuse files that are missing or of another size than in the manifest; decoding shows the rest."""
    if not wanted.spec.skips:
        _refuse(wanted, list(_visibly_bad(wanted.speech)))


def _gpu(spec: ExtractionSpec) -> dict[str, str]:
    """The GPU that has computed and its arithmetic; a cache that does not speak of one was computed on a CPU."""
    import torch

    if spec.device == "cpu":
        return {}
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    libraries = f"CUDA {torch.version.cuda}, cuDNN {cudnn}"
    return {"device": f"{torch.cuda.get_device_name()}, {libraries}, {spec.params.precision} without TF32"}


def _refuse(wanted: Extraction, failures: Sequence[Failure], part: str = "") -> None:
    beside = wanted.out.with_name(f"{wanted.out.name}{part}.failures.jsonl")
    beside.unlink(missing_ok=True)
    if not failures:
        return
    with whole_file(beside) as partial:
        partial.write_text(_lines(failures), encoding="utf-8")
    if wanted.work.is_dir() and not any(wanted.work.iterdir()):
        wanted.work.rmdir()
    raise failures[0].error(f" ({counted(len(failures), 'utterance')} cannot be used; {beside} lists them)")


def _visibly_bad(speech: Manifest) -> Iterator[Failure]:
    @functools.lru_cache(maxsize=16)  # segments of one file are neighbours
    def size_of(path: str) -> int | None:
        return Path(path).stat().st_size if Path(path).is_file() else None

    columns = (speech.frame[name] for name in ("utterance", "path", "bytes"))
    for utterance, path, size in zip(*columns, strict=True):
        found = size_of(path)
        if found != size:
            what = "there is no such file" if found is None else f"has {counted(found, 'byte')} instead of {size}"
            remedy = "check the path, or write the manifest again (dvc repro, or seedpipe manifest)"
            yield Failure(str(utterance), str(path), what, remedy=remedy)


def _lines(failures: Iterable[Failure]) -> str:
    entries = ({"utterance": each.utterance, "file": each.file, "reason": each.reason} for each in failures)
    return "".join(f"{json.dumps(entry, ensure_ascii=False)}\n" for entry in entries)
