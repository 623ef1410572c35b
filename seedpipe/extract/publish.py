"""From finished shards to a cache at its place, or to a list of the utterances that cannot be used."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from seedpipe import cache
from seedpipe.audio import Manifest
from seedpipe.cache import Cache
from seedpipe.errors import AudioError
from seedpipe.extract.plan import Extraction
from seedpipe.extract.work import Failure, Finished
from seedpipe.files import whole_file


def publish(wanted: Extraction, done: Sequence[Finished]) -> Cache:
    """Make the finished shards the cache."""
    failures = check_failures(wanted, done)
    shards = tuple(result.shard for result in done if result.shard is not None)
    if not shards:
        raise AudioError("no utterance could be used", remedy="see the failures listed", file=wanted.speech.path)
    rows = sum(shard.rows for shard in shards)
    info = cache.CacheInfo(
        **wanted.info, rows=rows, utterances=rows // wanted.spec.rows, skipped=len(failures), shards=shards
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
    if info.skipped and not wanted.skips:
        (wanted.work / "manifest.json").unlink()  # failures.jsonl will go, and nobody is to publish without it
        return None
    return cache.publish(wanted.work, wanted.out, info)


def check_failures(wanted: Extraction, done: Iterable[Finished], part: str = "") -> list[Failure]:
    """Write failures.jsonl; stop unless failures are to be skipped."""
    failures = [failure for result in done for failure in result.failures]
    inside = wanted.work / "failures.jsonl"
    inside.unlink(missing_ok=True)
    if not wanted.skips:
        _refuse(wanted, failures, part)
    elif failures:
        with whole_file(inside) as partial:
            partial.write_text(_lines(failures), encoding="utf-8")
    return failures


def refuse_visibly_bad(wanted: Extraction) -> None:
    """Refuse files that are missing or of another size than in the manifest; decoding shows the rest."""
    if not wanted.skips:
        _refuse(wanted, list(_visibly_bad(wanted.speech)))


def _refuse(wanted: Extraction, failures: Sequence[Failure], part: str = "") -> None:
    beside = wanted.out.with_name(f"{wanted.out.name}{part}.failures.jsonl")
    beside.unlink(missing_ok=True)
    if not failures:
        return
    with whole_file(beside) as partial:
        partial.write_text(_lines(failures), encoding="utf-8")
    if wanted.work.is_dir() and not any(wanted.work.iterdir()):
        wanted.work.rmdir()
    raise failures[0].error(f" ({len(failures)} utterances cannot be used; {beside} lists them)")


def _visibly_bad(speech: Manifest) -> Iterator[Failure]:
    @functools.lru_cache(maxsize=16)  # segments of one file are neighbours
    def size_of(path: str) -> int | None:
        return Path(path).stat().st_size if Path(path).is_file() else None

    columns = (speech.frame[name] for name in ("utterance", "path", "bytes"))
    for utterance, path, size in zip(*columns, strict=True):
        found = size_of(path)
        if found != size:
            what = "there is no such file" if found is None else f"has {found} bytes instead of {size}"
            remedy = "check the path, or write the manifest again (dvc repro --force corpus, or seedpipe manifest)"
            yield Failure(str(utterance), str(path), what, remedy=remedy)


def _lines(failures: Iterable[Failure]) -> str:
    entries = ({"utterance": each.utterance, "file": each.file, "reason": each.reason} for each in failures)
    return "".join(f"{json.dumps(entry, ensure_ascii=False)}\n" for entry in entries)
