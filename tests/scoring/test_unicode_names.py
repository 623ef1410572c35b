"""One name in two forms of Unicode is one utterance, whatever file it stands in; two rows of it are refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from synthetic import draw_embeddings, write_cache

from seedpipe.audio import find_audio, read_manifest
from seedpipe.cache.exchange import read_vectors
from seedpipe.errors import ExchangeError, ManifestError, TrialError
from seedpipe.scoring import compare_scores, read_scores
from seedpipe.scoring.trials import (
    check_trials,
    make_trials,
    match_names,
    read_models,
    read_speaker_map,
    read_trials,
    tell_speakers,
)
from seedpipe.scoring.trials.check import utterances_of
from seedpipe.scoring.trials.name_map import read_name_map

C, D = "s1/é.wav", "s1/e\N{COMBINING ACUTE ACCENT}.wav"
BOTH = re.escape(f"{C!a} and {D!a} are one name")
LIST = f"1 {C} s1/b.wav\n0 {D} s2/c.wav\n1 s2/c.wav s2/d.wav\n0 s1/b.wav s2/d.wav\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_in_a_list(tmp_path: Path) -> None:
    trials = read_trials(write(tmp_path / "a.txt", LIST))
    assert trials.utterances == (C, "s1/b.wav", "s2/c.wav", "s2/d.wav")
    composed = read_trials(write(tmp_path / "b.txt", LIST.replace(D, C)))
    decomposed = read_trials(write(tmp_path / "c.txt", LIST.replace(C, D)))
    assert len({each.digest() for each in (trials, composed, decomposed)}) == 1
    for each in (trials, composed, decomposed):
        assert match_names(each.utterances, [C, "s2/d.wav", "s1/b.wav", "s2/c.wav"]).rows.tolist() == [0, 2, 3, 1]
        assert tell_speakers(each).of_utterance.tolist() == [0, 0, 1, 1]
    with pytest.raises(TrialError, match="labelled as two speakers"):
        tell_speakers(read_trials(write(tmp_path / "d.txt", f"{LIST}0 {C} {D}\n")))


def test_in_maps_and_models(tmp_path: Path) -> None:
    known = read_speaker_map(write(tmp_path / "map", f"{C} one\n{D} two\ns1/b.wav one\ns2/c.wav b\ns2/d.wav b\n"))
    assert known[C] == ("one", "two")
    assert tell_speakers(read_trials(write(tmp_path / "a.txt", LIST)), known).told_by == "map"
    with pytest.raises(TrialError, match="stands twice"):
        read_name_map(write(tmp_path / "wav.scp", f"{C} a.wav\n{D} b.wav\n"))
    with pytest.raises(TrialError, match="stands twice"):
        read_models(write(tmp_path / "models", f"{C} a\n{D} b\n"))
    assert read_models(write(tmp_path / "nist", f"modelid,segmentid\n{C},a\n{D},b\n")) == {C: ("a", "b")}


def test_in_score_files(tmp_path: Path) -> None:
    lines = [line.split() for line in LIST.splitlines()]
    a, b = (
        read_scores(write(tmp_path / name, "".join(f"{x.replace(*form)} {y} {n / 7} {z}\n" for n, (z, x, y) in listed)))
        for name, form, listed in (("a", (D, C), [*enumerate(lines)]), ("b", (C, D), [*enumerate(lines)][::-1]))
    )
    assert compare_scores(a, b).figures["eer"].difference.difference == 0.0


@pytest.mark.parametrize("names", [[C, D], [D, "x", C]])
def test_two_rows_of_one_name_are_refused_with_both(tmp_path: Path, names: list[str]) -> None:
    first, second = (name for name in names if name != "x")
    both = re.escape(f"{first!a} and {second!a} are one name in two forms of Unicode")
    with pytest.raises(TrialError, match=both):
        match_names(["x"], names)
    values = np.ones((len(names), 3), np.float32)
    np.savez(tmp_path / "x.npz", embeddings=values, utterance=np.array(names))
    with pytest.raises(ExchangeError, match=both):
        read_vectors(tmp_path / "x.npz")
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(ExchangeError, match=both):
        read_vectors(tmp_path / "x.npy", write(tmp_path / "ids", "\n".join(names)))
    write_cache(tmp_path / "cache", draw_embeddings(len(names), 1, 1, seed=0), names, kind="evaluation")
    with pytest.raises(TrialError, match=both):
        check_trials(write(tmp_path / "list.txt", LIST), *utterances_of(tmp_path / "cache", None))
    with pytest.raises(TrialError, match="stands twice"):
        make_trials(pd.DataFrame({"utterance": names, "speaker": "s"}), 1, 0)


def test_two_files_of_one_name_are_refused_with_both(tmp_path: Path) -> None:
    for name in (C, D):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.ones(800), 16_000)
    with pytest.raises(ManifestError, match="are one name in two forms of Unicode"):
        find_audio(tmp_path)
    header = "utterance,path,bytes,seconds,sample_rate,start_frame,frames,digest,speaker\n"
    rows = "".join(f"{name},{name},1644,0.05,16000,0,800,x,\n" for name in (C, D))
    with pytest.raises(ManifestError, match=BOTH):
        read_manifest(write(tmp_path / "speech.csv", header + rows))
