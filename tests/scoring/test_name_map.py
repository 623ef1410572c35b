"""Maps of names: what Kaldi, NeMo and lhotse write says where the audio of an evaluation list is."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import tone, write_audio

from seedpipe import pipeline
from seedpipe.audio import layout, read_manifest
from seedpipe.errors import ManifestError, SeedpipeError, TrialError
from seedpipe.params import ManifestParams, Params
from seedpipe.scoring.trials.name_map import Clip, read_name_map

NAMES = ("carl-1", "carl-2", "dora-1", "dora-2")
LIST = "carl-1 carl-2 1\ndora-1 dora-2 1\ncarl-1 dora-2 0\ndora-1 carl-2 0\n"


def nemo(name: str, path: str) -> str:
    return json.dumps({"audio_filepath": path, "offset": 0, "duration": None, "label": "infer", "uniq_id": name})


def lhotse(name: str, path: str) -> str:
    return json.dumps(
        {
            "id": name,
            "sources": [{"type": "file", "channels": [0], "source": path}],
            "sampling_rate": 16_000,
            "num_samples": 16_000,
            "duration": 1.0,
        }
    )


@pytest.fixture
def mapped(own_data: Path, tmp_path: Path) -> Path:
    """A data folder whose evaluation audio is elsewhere, under other names."""
    root = Path(shutil.copytree(own_data, tmp_path / "mapped"))
    shutil.rmtree(root / "eval")
    (root / "eval").mkdir()
    (root / "eval/trials_kaldi.txt").write_text(LIST)
    for number, _ in enumerate(NAMES):
        write_audio(tmp_path / f"elsewhere/take {number}.wav", tone(150 + 20 * number, 1.0, seed=number))
    return root


def files(root: Path) -> list[tuple[str, str]]:
    return [(name, str(root.parent / f"elsewhere/take {number}.wav")) for number, name in enumerate(NAMES)]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("names_kaldi.scp", "{} {}".format),
        ("kaldi/wav.scp", "{}\t{}".format),
        ("names_kaldi.jsonl", nemo),
        ("names_kaldi.jsonl", lhotse),
        ("names_kaldi.jsonl.gz", lhotse),
        ("names_kaldi.json", lhotse),
    ],
)
def test_the_manifest_of_a_list_finds_its_audio_by_a_map(
    mapped: Path, tmp_path: Path, place: str, line: Callable[[str, str], str]
) -> None:
    lines = [line(*pair) for pair in files(mapped)]
    text = f"[{','.join(lines)}]" if place.endswith(".json") else "\n".join(lines) + "\n"
    path = mapped / "eval" / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if place.endswith(".gz") else text.encode())
    params = Params(manifest=ManifestParams(root=mapped, evaluations=("kaldi",)))
    before = layout.describe_folders(mapped)["eval"]
    assert pipeline.evaluation_manifests(params, "kaldi", tmp_path / "out") == []
    frame = read_manifest(tmp_path / "out/speech.csv").frame
    assert frame["utterance"].tolist() == list(NAMES)
    assert [Path(path).name for path in frame["path"]] == [f"take {number}.wav" for number in range(4)]
    assert frame["seconds"].tolist() == [1.0] * 4
    path.touch()
    path.write_bytes(path.read_bytes() + b"\n")
    assert layout.describe_folders(mapped)["eval"] != before, "so that DVC sees it"


def test_names_of_a_map_are_matched_as_in_scoring(mapped: Path, tmp_path: Path) -> None:
    (mapped / "eval/trials_kaldi.txt").write_text(LIST.replace("dora", "do\u0308ra").replace("-", "/"))
    given = tmp_path / "any name.txt"
    given.write_text("".join(f"{name.replace('dora', 'döra')} {path}\n" for name, path in files(mapped)))
    params = Params(manifest=ManifestParams(root=mapped, evaluations=("kaldi",)))
    pipeline.evaluation_manifests(params, "kaldi", tmp_path / "out", names=given)
    assert len(read_manifest(tmp_path / "out/speech.csv")) == 4


def test_parts_of_files_are_parts_of_the_manifest(mapped: Path, tmp_path: Path) -> None:
    whole = str(tmp_path / "elsewhere/take 0.wav")
    parts = [
        {"audio_filepath": whole, "uniq_id": name, "offset": 0.25 * number, "duration": 0.255 if number == 3 else 0.25}
        for number, name in enumerate(NAMES)
    ]
    (mapped / "eval/names_kaldi.jsonl").write_text("\n".join(map(json.dumps, parts)))
    params = Params(manifest=ManifestParams(root=mapped, evaluations=("kaldi",)))
    pipeline.evaluation_manifests(params, "kaldi", tmp_path / "out")
    frame = read_manifest(tmp_path / "out/speech.csv").frame
    assert frame["start_frame"].tolist() == [0, 4_000, 8_000, 12_000]
    assert frame["frames"].tolist() == [4_000] * 4, "the last one reaches 5 ms beyond the end: durations are rounded"
    assert np.unique(frame["digest"]).size == 1
    parts[2]["duration"] = 2.0
    (mapped / "eval/names_kaldi.jsonl").write_text("\n".join(map(json.dumps, parts)))
    with pytest.raises(ManifestError, match=r"take 0\.wav: has 1\.00 s, and dora-1 is from 0\.5 s on 2 s long"):
        pipeline.evaluation_manifests(params, "kaldi", tmp_path / "out")


def test_an_utterance_that_a_map_leads_into_training_is_a_leak(mapped: Path, tmp_path: Path) -> None:
    lines = [f"{name} {path}\n" for name, path in files(mapped)]
    lines[2] = "dora-1 ../train/ben/48k.wav\n"
    (mapped / "eval/names_kaldi.scp").write_text("".join(lines))
    params = Params(manifest=ManifestParams(root=mapped, evaluations=("kaldi",)))
    with pytest.raises(ManifestError, match=r"train/ben/48k\.wav of training and .*48k\.wav of evaluation"):
        pipeline.evaluation_manifests(params, "kaldi", tmp_path / "out")


def test_two_maps_of_a_list_are_refused(mapped: Path, tmp_path: Path) -> None:
    for name in ("names_kaldi.scp", "names_kaldi.jsonl"):
        (mapped / "eval" / name).write_text("x y\n")
    params = Params(manifest=ManifestParams(root=mapped, evaluations=("kaldi",)))
    with pytest.raises(ManifestError, match=r"names_kaldi.jsonl is there, too"):
        pipeline.evaluation_manifests(params, "kaldi", tmp_path / "out")


def test_nemo_manifests_without_identifiers_name_by_path(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio_filepath": "a/b.wav", "duration": 1.5, "label": "s"}\n')
    assert read_name_map(path) == {"a/b.wav": Clip("a/b.wav", tmp_path / "a/b.wav", 0.0, 1.5)}


@pytest.mark.parametrize(
    ("text", "row", "words"),
    [
        ("a x.wav\nb sph2pipe -f wav x.sph |\n", 2, "b is a command, and none are run"),
        ("a\n", 1, "a has no file"),
        ("a x.wav\na y.wav\n", 2, "the name a stands twice"),
        ("", None, "names no files"),
        ("[]", None, "names no files"),
        ("{", 1, "is no JSON"),
        ("[1]", 1, "an entry has no keys"),
        ('{"id": "a", "start": 0.0, "recording": {}}', 1, "an entry has id, start, recording"),
        ('{"audio_filepath": "x.wav", "offset": "1"}', 1, "offset is '1'"),
        ('{"audio_filepath": "x.wav", "duration": -1}', 1, "duration is -1"),
        ('{"audio_filepath": "x.wav", "offset": 0}\n{"audio_filepath": "x.wav", "offset": 3}', 2, "stands twice"),
        (lhotse("a", "x.wav").replace('"file"', '"command"'), 1, "a is no plain file"),
        ('{"audio_filepath": "x.wav", "start": 1.0, "end": 2}', 1, r"the key start \(1.0\) says which part or channel"),
        ('{"audio_filepath": "x.wav", "channel": 1}', 1, r"the key channel \(1\) says which part"),
        (
            '{"id": "a", "sources": [{"type": "file", "channels": [1], "source": "x.wav"}]}',
            1,
            r"the key channels \(\[1\]\) says which part",
        ),
        (lhotse("a", "x.wav").replace('"id"', '"transforms": [{"name": "Speed"}], "id"'), 1, "a is no plain file"),
    ],
)
def test_maps_that_cannot_be_used_are_refused(tmp_path: Path, text: str, row: int | None, words: str) -> None:
    (tmp_path / "map").write_text(text)
    with pytest.raises(TrialError, match=words) as caught:
        read_name_map(tmp_path / "map")
    assert caught.value.row == row
    assert isinstance(caught.value, SeedpipeError)
