"""Damage to every file that comes from outside: an error of ours in one line or a valid result, and nothing beside it.

Draws are derandomised, so that every run tries the same damage. A longer search is ``SEEDPIPE_FUZZ=5000 pytest
tests/fuzz``, which tries as many draws for each file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import mutate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import READERS, Reader, seal

from seedpipe.errors import ModelError, SeedpipeError
from seedpipe.files import sealed

DRAWS = int(os.environ.get("SEEDPIPE_FUZZ", "25"))
INSTEAD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/null"),
    "directory": Path.mkdir,
}
MOST_TEXT = 10_000  # characters of an error
DOCUMENTS = (
    "cache manifest", "config.json", "whitening config", "drl config", "none config", "regression config",
    "network.json", "calibration.json", "evaluation.json",
)  # fmt: skip


class Sample:
    """A good file in a folder of its own, beside a folder that nobody may touch."""

    def __init__(self, reader: Reader, base: Path) -> None:
        self.reader, self.base = reader, base
        self.inside = base / "inside"
        self.inside.mkdir()
        (base / "outside").mkdir()
        (base / "outside/file").write_text("as it was")
        self.path = reader.make(self.inside)
        self.good = self.path.read_bytes()
        self.before = self.outside()

    def outside(self) -> dict[str, bytes | None]:
        """Everything below the base but what is inside."""
        paths = [path for path in self.base.rglob("*") if self.inside not in (path, *path.parents)]
        return {str(path): path.read_bytes() if path.is_file() else None for path in paths}

    def refused_or_valid(self) -> None:
        try:
            self.reader.read(self.path)
        except SeedpipeError as error:
            text = str(error)
            assert text.isprintable()
            assert 0 < len(text) < MOST_TEXT

    def nothing_else_is_touched(self) -> None:
        assert self.outside() == self.before


@pytest.fixture
def sample(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Sample(READERS[request.param], tmp_path)


every_file = pytest.mark.parametrize("sample", READERS, indirect=True)


@every_file
def test_a_good_file_is_read(sample: Sample, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["sample"] == "safetensors":
        with pytest.raises(ModelError, match="the one of a SEED network"):  # two tensors of another network
            sample.reader.read(sample.path)
    else:
        sample.reader.read(sample.path)
    sample.nothing_else_is_touched()


@every_file
def test_damage_is_refused_or_does_not_matter(sample: Sample) -> None:
    @settings(max_examples=DRAWS, derandomize=True, database=None, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1))
    def damage(seed: int) -> None:
        sample.path.write_bytes(mutate.damaged(sample.good, np.random.default_rng(seed)))
        sample.refused_or_valid()

    damage()
    sample.nothing_else_is_touched()


@every_file
def test_a_file_cut_off_anywhere_is_refused_or_complete(sample: Sample) -> None:
    for content in mutate.truncations(sample.good, most=12):
        sample.path.write_bytes(content)
        sample.refused_or_valid()
    sample.nothing_else_is_touched()


@pytest.mark.parametrize("sample", DOCUMENTS, indirect=True)
def test_a_document_with_a_value_of_another_kind_is_refused_or_valid(sample: Sample) -> None:
    poisoned = list(mutate.poisoned(json.loads(sample.good)))
    np.random.default_rng(0).shuffle(poisoned)
    for _, document in poisoned[: 5 * DRAWS]:
        try:
            if sample.path.name == "manifest.json":
                seal(document, sample.path.parent)
            else:
                text = json.dumps(sealed(document) if isinstance(document, dict) else document)
                sample.path.write_text(text, encoding="utf-8", errors="surrogatepass")
        except ValueError:
            continue  # a number that Python does not write either
        sample.refused_or_valid()
    sample.nothing_else_is_touched()


@pytest.mark.parametrize("sample", [*DOCUMENTS[1:], "network.json converted"], indirect=True)
def test_a_document_with_another_letter_is_refused_and_one_without_its_digest_read(sample: Sample) -> None:
    document = json.loads(sample.good)
    document.pop("digest", None)
    good = json.dumps(sealed(document)).encode()
    key = good.rindex(b'"digest"')  # another name of it states nothing
    values = [place for place, byte in enumerate(good) if chr(byte).isalnum() and not key <= place < key + 8]
    for place in np.random.default_rng(0).choice(values, 20):
        changed = bytearray(good)
        changed[place] ^= 1  # a letter or digit stays one
        sample.path.write_bytes(changed)
        with pytest.raises(SeedpipeError):
            sample.reader.read(sample.path)
    for entries in (document, sealed(document)):
        sample.path.write_text(json.dumps(entries), encoding="utf-8")
        sample.reader.read(sample.path)


@every_file
@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\xff" * 4096, b"[" * mutate.DEEP, b"PK\x05\x06" + b"\0" * 18])
def test_something_else_under_the_name_is_refused_or_valid(sample: Sample, content: bytes) -> None:
    sample.path.write_bytes(content)
    sample.refused_or_valid()
    sample.nothing_else_is_touched()


@every_file
def test_nothing_in_the_place_of_a_file_is_refused(sample: Sample) -> None:
    sample.path.unlink()
    sample.refused_or_valid()
    sample.nothing_else_is_touched()


@every_file
@pytest.mark.parametrize("kind", INSTEAD)
def test_what_is_no_file_is_refused_at_once_and_by_what_it_is(
    sample: Sample, kind: str, request: pytest.FixtureRequest
) -> None:
    sample.path.unlink()
    INSTEAD[kind](sample.path)
    named = request.node.callspec.params["sample"] != "SpeechBrain weights"  # which settings name, and may be anything
    with pytest.raises(SeedpipeError, match=f"(?i)is a {kind}" if named else "is no file of the folder"):
        sample.reader.read(sample.path)
    sample.nothing_else_is_touched()
