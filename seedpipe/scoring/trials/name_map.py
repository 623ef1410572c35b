"""Names and the files that they stand for, as other toolkits write them: wav.scp, NeMo manifests, lhotse recordings.

- Kaldi's ``wav.scp``: lines ``name path``. Commands in the place of a path are refused, not run.
- NeMo: a JSON object a line with ``audio_filepath``, perhaps ``offset`` and ``duration`` (seconds). The name is
  ``uniq_id`` where there is one, else the path.
- lhotse recordings: a JSON object a line, or a list of them, with ``id`` and one source of the type ``file``.

Each may be compressed with gzip. Paths are relative to the folder of the map, or else to the working directory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedpipe.errors import TrialError
from seedpipe.files import StrPath, normal
from seedpipe.scoring.trials.columns import DECIDING
from seedpipe.scoring.trials.read import list_text

EXPECTED = "'name path' (wav.scp), or JSON with audio_filepath (NeMo) or with id and sources (lhotse recordings)"


@dataclass(frozen=True)
class Clip:
    """What an utterance is: a file, or a part of it.

    Parameters
    ----------
    utterance : str
    path : Path
    start : float
        Seconds before the part.
    seconds : float, optional
        Length of the part; to the end of the file if not given.
    """

    utterance: str
    path: Path
    start: float = 0.0
    seconds: float | None = None


def read_name_map(path: StrPath) -> dict[str, Clip]:
    """Read the files of names.

    Raises
    ------
    TrialError
        It cannot be read, is of none of the formats, or a line names no file, a command, or a name again.
    """
    path = Path(path)
    text = list_text(path)
    clips: dict[str, Clip] = {}
    for row, (name, place, start, seconds) in _entries(path, text):
        if not name or normal(name) in clips:
            found = f"the name {name} stands twice" if name else "a file has no name"
            raise TrialError(found, expected="names that tell recordings apart", file=path, row=row)
        clips[normal(name)] = Clip(name, _resolved(path, place), start, seconds)
    if not clips:
        raise TrialError("names no files", expected=EXPECTED, file=path)
    return clips


_Entry = tuple[str, str, float, float | None]


def _entries(path: Path, text: str) -> Iterator[tuple[int, _Entry]]:
    """Name, path, start and length of each entry, with its row."""
    if text.lstrip().startswith("["):
        items = _parsed(path, text, 1)
        yield from ((1, _told(path, item, 1)) for item in items)
        return
    read: Callable[[Path, str, int], _Entry] = _of_json if text.lstrip().startswith("{") else _of_scp
    for row, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield row, read(path, line, row)


def _of_scp(path: Path, line: str, row: int) -> _Entry:
    name, *rest = line.strip().split(maxsplit=1)
    place = rest[0] if rest else ""
    if not place or place.endswith("|"):
        found = f"{name} is a command, and none are run" if place else f"{name} has no file"
        raise TrialError(found, expected="'name path'", remedy="write the audio to files first", file=path, row=row)
    return name, place, 0.0, None


def _of_json(path: Path, line: str, row: int) -> _Entry:
    return _told(path, _parsed(path, line, row), row)


def _parsed(path: Path, text: str, row: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TrialError(f"is no JSON ({error})", expected=EXPECTED, file=path, row=row) from error


def _told(path: Path, item: Any, row: int) -> _Entry:
    """An entry of NeMo or lhotse."""
    found: Mapping[str, Any] = item if isinstance(item, dict) else {}
    if isinstance(place := found.get("audio_filepath"), str):
        _expect_whole(path, {name: value for name, value in found.items() if name != "offset"}, row)
        start, seconds = (_seconds(path, found.get(key), key, row) for key in ("offset", "duration"))
        return str(found.get("uniq_id") or place), place, start or 0.0, seconds
    sources = found.get("sources")
    if "id" not in found or not isinstance(sources, list):
        raise TrialError(f"an entry has {', '.join(found) or 'no keys'}", expected=EXPECTED, file=path, row=row)
    source = sources[0] if len(sources) == 1 and isinstance(sources[0], dict) else {}
    if source.get("type") != "file" or not isinstance(source.get("source"), str) or found.get("transforms"):
        raise TrialError(
            f"{found['id']} is no plain file",
            expected="one source of the type 'file', without transforms",
            remedy="write the audio to files first",
            file=path,
            row=row,
        )
    channels = source.get("channels")
    if isinstance(channels, list) and channels != [*range(len(channels))]:
        _expect_whole(path, {"channels": channels}, row)
    return str(found["id"]), source["source"], 0.0, None


def _expect_whole(path: Path, entry: Mapping[str, Any], row: int) -> None:
    """Refuse an entry that names a part or a channel of its file by a key that is not used."""
    keys = [name for name, value in entry.items() if value is not None]
    names = [name for name in keys if name == "channels" or DECIDING.fullmatch(name)]
    if names:
        raise TrialError(
            f"the key {names[0]} ({entry[names[0]]}) says which part or channel of a file is meant, and is not used",
            expected="whole files, or parts by NeMo's offset and duration",
            remedy="write the part to a file of its own, or leave the key out",
            file=path,
            row=row,
        )


def _seconds(path: Path, value: Any, key: str, row: int) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise TrialError(f"{key} is {value!r}", expected="seconds", file=path, row=row)
    return float(value)


def _resolved(path: Path, place: str) -> Path:
    beside = path.parent / place
    # os.path: a name that no file system takes is of no file, and opening it will say so.
    return Path(place) if not os.path.exists(beside) and os.path.exists(place) else beside  # noqa: PTH110
