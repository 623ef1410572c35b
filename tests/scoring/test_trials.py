"""Trials: layouts, errors with their line, speakers told from the target trials, checks and new lists."""

from __future__ import annotations

import doctest
import gzip
import hashlib
import json
import os
import re
import tracemalloc
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from synthetic import evaluation_cache
from synthetic import write_trials as write_demo_trials
from typer.testing import CliRunner

from seedpipe.cli import app
from seedpipe.errors import TrialError
from seedpipe.scoring.trials import (
    KNOWN,
    OF_THE_PAPER,
    KnownList,
    Trials,
    check_trials,
    make_trials,
    make_vcmix,
    match_names,
    read_models,
    read_speaker_map,
    read_speakers,
    read_trials,
    recognise,
    tell_speakers,
    write_trials,
)
from seedpipe.scoring.trials import known as known_module
from seedpipe.scoring.trials import names as names_module
from seedpipe.scoring.trials import read as read_module


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trials_x.txt"
    path.write_text(text, encoding="utf-8")
    return path


def trials(enrol: list[int], test: list[int], labels: list[int]) -> Trials:
    count = max(*enrol, *test) + 1
    rows = np.arange(1, len(labels) + 1)
    names = tuple(f"{number}.wav" for number in range(count))
    return Trials(Path("list.txt"), names, np.array(enrol), np.array(test), np.array(labels, np.int8), rows)


LAYOUTS = {
    "label first": "1 a.wav b.wav\n0 a.wav c.wav\n",
    "label last": "a.wav b.wav 1\na.wav c.wav 0\n",
    "words first": "target a.wav b.wav\nnontarget a.wav c.wav\n",
    "words last": "a.wav b.wav target\na.wav c.wav nontarget\n",
    "tabs": "1\ta.wav\tb.wav\n0\ta.wav\tc.wav\n",
    "windows": "1 a.wav b.wav\r\n0 a.wav c.wav\r\n",
    "no last newline": "1 a.wav b.wav\n0 a.wav c.wav",
    "runs of blanks": "  1   a.wav b.wav  \n0 a.wav    c.wav\n",
    "truth": "a.wav b.wav True\na.wav c.wav False\n",
    "short words": "a.wav b.wav tgt\na.wav c.wav imp\n",
    "short words first": "tgt a.wav b.wav\nimp a.wav c.wav\n",
    "impostors": "a.wav b.wav target\na.wav c.wav impostor\n",
    "phrases": "a.wav b.wav TC\na.wav c.wav IW\n",
    "a header with blanks": "enrol test label\na.wav b.wav 1\na.wav c.wav 0\n",
    "capitals": "Target a.wav b.wav\nNontarget a.wav c.wav\n",
    "byte order mark": "\ufeff1 a.wav b.wav\n0 a.wav c.wav\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_mean_the_same(tmp_path: Path, layout: str) -> None:
    found = read_trials(write(tmp_path, LAYOUTS[layout]))
    assert len(found) == 2
    assert found.utterances == ("a.wav", "b.wav", "c.wav")
    assert found.labels.tolist() == [1, 0]
    assert found.enrol.tolist() == [0, 0]
    assert found.test.tolist() == [1, 2]
    assert found.rows.tolist() == ([2, 3] if "header" in layout else [1, 2])


@pytest.mark.parametrize(
    ("text", "labels", "enrol"),
    [
        ("1 u1 1\n1 u2 0\n", [1, 0], "1"),
        ("0 u1 target\n1 u1 nontarget\n0 u2 nontarget\n", [1, 0, 0], "0"),
        ("7 u1 1\n1 u2 0\n0 u2 1\n8 u2 1\n", [1, 0, 1, 1], "7"),
    ],
)
def test_models_with_names_of_labels_are_told_by_what_the_other_column_holds(
    tmp_path: Path, text: str, labels: list[int], enrol: str
) -> None:
    found = read_trials(write(tmp_path, text))
    assert found.labels.tolist() == labels
    assert found.utterances[0] == enrol


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    found = read_trials(write(tmp_path, "\n1 a b\n\n\n0 c a\n"))
    assert found.rows.tolist() == [2, 5]
    assert [found.first_row(name) for name in "abc"] == [2, 2, 5]


def test_names_that_look_like_labels_are_read_by_their_place(tmp_path: Path) -> None:
    found = read_trials(write(tmp_path, "1 0 1\n0 target 1\n"))
    assert found.utterances == ("0", "1", "target")
    assert found.labels.tolist() == [1, 0]


def test_unicode_names(tmp_path: Path) -> None:
    assert read_trials(write(tmp_path, "1 ä.wav 十.wav\n0 ä.wav c.wav\n")).utterances[:2] == ("ä.wav", "十.wav")


BAD = {
    "label": ("1 a b\n0 a c\n2 a d\n", 3, "the label is '2'", "1, target or true"),
    "label last": ("a b 1\na c same\n", 2, "the label is 'same'", "0, nontarget or false"),
    "words mixed": ("1 a b\nnontarget a c\n", 2, "the label is 'nontarget'", "use one pair of words throughout"),
    "layouts mixed": ("1 a b\na c 0\n", 2, "the label is 'a'", "use one layout throughout"),
    "layouts mixed the other way": ("a c 0\n1 a b\n", 2, "the label is 'b'", "use one layout throughout"),
    "four columns": ("1 a b.wav c.wav\n", 1, "4 columns", "names with spaces need a header, and scores are for"),
    "one column": ("a\n", 1, "1 column;", "'label enrol test', 'enrol test label' or 'enrol test'"),
    "csv without header": ("1,a,b\n0,a,c\n", 1, "1 column;", "is it a csv without a header?"),
    "labels end": ("1 a b\na c\n", 2, "2 columns", "labels stand in every line or in none"),
    "labels begin": ("a b\n1 a c\n", 2, "3 columns", "expected 2 as in the lines before"),
    "csv row short": ("label,enrol,test\n1,a,b\n\n0,a\n", 4, "2 columns", "expected 3"),
    "csv names a column twice": ("enrol,test,file1\na,b,c\n", 1, "the header names the enrol column twice", "rename"),
    "csv label": ("label,enrol,test\n1,a,b\nmaybe,a,c\n", 3, "the label is 'maybe'", "1, target or true"),
    "no labels": ("a b yes\na c no\n", 1, "neither 'a' nor 'yes' is a label", "a list without labels has two columns"),
    "models called 0 and 1": (
        "0 u1 1\n1 u2 1\n0 u2 0\n1 u1 0\n",
        1,
        "can be read as 'label enrol test' and as 'enrol test label'",
        "names of the columns first",
    ),
    "tests called 0 and 1": ("\n1 a 0\n0 a 1\n1 b 0\n", 2, "can be read as 'label enrol test' and as", "one reading"),
    "models called 0 and 1, and a slip": (
        "0 u1 1\n1 u2 1\n0 u2 0\n1 u1 O\n",
        4,
        "'label enrol test' is one reading; but for 'O', column 3",
        "one reading",
    ),
    "sides": (
        "modelid\tsegmentid\tside\ttargettype\nm s a target\n".replace(" ", "\t") + "m\ts\tb\tnontarget\n",
        3,
        "the column side says which part of a file is meant (a, b)",
        "as s1-a and s1-b",
    ),
    "channels": ("enrol,test,Channel,label\na,b,1,1\na,c,2,0\n", 3, "the column Channel says which part", "leave out"),
    "a column that is not known decides": (
        "enrol,test,phrase,label\na,b,p,1\na,c,p,0\na,b,q,0\n",
        4,
        "trials of the same two names differ by other columns alone, as by phrase",
        "into",
    ),
    "a column that is not known tells trials of one kind apart": (
        "enrol,test,label,codec\na,b,1,pstn\na,b,1,voip\na,c,0,voip\n",
        3,
        "trials of the same two names differ by other columns alone, as by codec",
        "into",
    ),
    "labels by another name": (
        "enrol,test,different\na,b,0\na,c,1\n",
        1,
        "no column is called label, and different holds what labels are",
        "call it label, with 1 for the same speaker",
    ),
    "labels in words by another name": (
        "utt1 utt2 class\na b target\na c nontarget\n",
        1,
        "no column is called",
        "leave it out",
    ),
    "a stray quote": ('label,enrol,test\n1,"a,b\n0,"a,c\n1,c,d\n', None, "is no csv", "check its quotes"),
    "scores": ("a b 0.5\na c -0.1\n", 1, "neither 'a' nor '0.5' is a label", "one of scores is none"),
    "later row short": ("1 a b\n\n0 a\n", 3, "2 columns", "expected 3 as in the lines before"),
    "only targets": ("1 a b\n1 a c\n", None, "only target trials", "error rates need both"),
    "only others": ("0 a b\n", None, "only non-target trials", "error rates need both"),
    "empty": ("", None, "no trials", "error rates need both"),
    "blank": ("\n \n", None, "no trials", "error rates need both"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lists_are_refused_with_the_line(tmp_path: Path, case: str) -> None:
    text, row, found, remedy = BAD[case]
    path = write(tmp_path, text)
    with pytest.raises(TrialError) as caught:
        read_trials(path)
    assert caught.value.row == row
    assert str(caught.value).startswith(f"{path}, row {row}: {found}" if row else f"{path}: {found}")
    assert remedy in str(caught.value)


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"nowhere\.txt: cannot be read"):
        read_trials(tmp_path / "nowhere.txt")
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"1 a\xff b\n")
    with pytest.raises(
        TrialError, match=r"binary\.txt: cannot be read .*expected a trial list in UTF-8.*check the path"
    ):
        read_trials(binary)


# --------------------------------------------------------------------------------------------------------- speakers


def test_speakers_follow_chains_of_target_trials() -> None:
    found = trials([0, 1, 3, 0], [1, 2, 4, 3], [1, 1, 1, 0])
    assert found.speakers().tolist() == [0, 0, 0, 1, 1]


def test_an_utterance_without_target_trials_is_a_speaker_of_its_own() -> None:
    assert trials([0, 2], [1, 3], [1, 0]).speakers().tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("text", "row", "pair"),
    [
        ("1 a b\n0 a b\n", 2, "a and b"),
        ("1 a b\n1 b c\n0 d a\n0 c a\n0 b a\n", 4, "c and a"),
        ("1 a b\n0 a a\n", 2, "a and a"),
    ],
)
def test_contradicting_labels_are_found(tmp_path: Path, text: str, row: int, pair: str) -> None:
    with pytest.raises(TrialError, match=f"{pair} are labelled as two speakers, but target trials join them") as caught:
        read_trials(write(tmp_path, text)).speakers()
    assert caught.value.row == row


SEVERAL = "A x1 target\nB x1 target\nB x2 target\nA x2 nontarget\nC x1 nontarget\nC x3 target\n"
PHRASES = "m1 u1 1\nm1 u2 0\nm2 u2 1\nm2 u1 0\nm1 v 1\nm2 v 1\nm3 u1 0\n"


@pytest.mark.parametrize(
    ("text", "rows"), [(SEVERAL, "row 4"), (PHRASES, "rows 2, 4"), ("1 a b\n1 b c\n0 a c\n", "row 3")]
)
def test_speakers_that_a_list_does_not_tell_are_not_made_up(tmp_path: Path, text: str, rows: str) -> None:
    told = tell_speakers(read_trials(write(tmp_path, text)))
    assert told.told_by == ""
    assert "one speaker: files have several speakers, phrases decide, or labels are wrong" in told.remarks[0]
    assert rows in told.remarks[0]
    assert told.remarks[0].endswith("there are no intervals, which need a speaker map (--speakers)")
    assert findings(tmp_path / "trials_x.txt")["joined"][0] == "warning"
    assert check_trials(tmp_path / "trials_x.txt").usable


def test_words_for_wrong_phrases_say_that_speakers_are_not_told(tmp_path: Path) -> None:
    told = tell_speakers(read_trials(write(tmp_path, "m1 u1 TC\nm1 u2 TW\nm1 v IC\nm2 v TC\n")))
    assert (told.told_by, len(told.remarks)) == ("", 1)
    assert "wrong phrase are of one speaker; there are no intervals" in told.remarks[0]
    assert tell_speakers(read_trials(write(tmp_path, "m1 u1 TC\nm1 v IC\n"))).told_by == "list"


@pytest.mark.parametrize(
    "name",
    [
        *("side", "Channel", "test_channel", "channel-enrol", "segment side", "start", "end_time", "segment_start"),
        *("test_offset", "start_sec", "tbeg", "stop"),
    ],
)
def test_columns_that_decide_are_refused_by_name(tmp_path: Path, name: str) -> None:
    text = f"enrol,test,{name},label\na,b,x,1\na,c,x,0\n"
    assert len(read_trials(write(tmp_path, text))) == 2
    with pytest.raises(TrialError, match=f"row 3: the column {name} says which part"):
        read_trials(write(tmp_path, text.replace("c,x", "c,y")))
    assert len(read_trials(write(tmp_path, text.replace("c,x", "c,y").replace(name, "outside")))) == 2


@pytest.mark.parametrize("text", ["1 a b\n0 a b\n", "1 a b\n0 b a\n", "1 a b\n0 a a\n"])
def test_a_pair_of_both_kinds_is_refused_with_a_map_and_without(tmp_path: Path, text: str) -> None:
    for known in (None, {"a": ["s"], "b": ["t"]}):
        with pytest.raises(TrialError, match="target trials join them") as caught:
            tell_speakers(read_trials(write(tmp_path, text)), known)
        assert caught.value.row == 2


MAPS = {
    "lines": "A a\nB b\nC c\nx1 b\nx1 a\nx2 b\n\nx3 c\n",
    "all in one line": "A a\nB b\nC c\nx1 b a\nx2 b\nx3 c\n",
    "csv": "utterance,seconds,speaker\nA,1,a\nB,1,b\nC,1,c\nx1,1,b\nx1,1,a\nx2,1,b\nx3,1,c\n",
    "other names": "w/A.wav a\nw/B.wav b\nw/C.wav c\nw/x1.wav b a\nw/x2.wav b\nw/x3.wav c\n",
}


@pytest.mark.parametrize("layout", MAPS)
def test_a_map_says_whose_trials_they_are(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "map.txt"
    path.write_text(MAPS[layout], encoding="utf-8")
    told = tell_speakers(read_trials(write(tmp_path, SEVERAL)), read_speaker_map(path))
    names = np.array(["a", "b", "c"])
    assert (told.told_by, told.remarks) == ("map", ())
    assert names[told.enrol].tolist() == ["a", "b", "b", "a", "c", "c"]
    assert names[told.test].tolist() == ["a", "b", "b", "b", "b", "c"]


def test_maps_and_labels_that_disagree_are_counted(tmp_path: Path) -> None:
    known = {name: ["s" if name[0] in "muv" else name] for name in ("m1", "m2", "m3", "u1", "u2", "v")}
    told = tell_speakers(read_trials(write(tmp_path, PHRASES)), known | {"m3": ["t"], "v": ["w"]})
    assert [line.partition(",")[0] for line in told.remarks] == [
        "2 of 7 trials are non-target",
        "2 of 7 trials are target",
    ]
    assert "(rows 2, 4)" in told.remarks[0]
    assert "(rows 5, 6)" in told.remarks[1]


@pytest.mark.parametrize(
    ("text", "row", "words"),
    [
        ("A a\nB\n", 2, "B has no speaker"),
        ("utterance,speaker\n\nA,a\nB,\n", 4, "B has no speaker"),
        ("\n", None, "no speakers"),
        ("utterance,name\nA,a\n", None, "lacks the column speaker"),
        ("A a\nB b\nC c\nx1 a\nx2 b\n", 6, "1 of 6 utterances is not in the speaker map: x3"),
    ],
)
def test_maps_that_cannot_be_used_are_refused(tmp_path: Path, text: str, row: int | None, words: str) -> None:
    (tmp_path / "map.txt").write_text(text)
    with pytest.raises(TrialError, match=words) as caught:
        tell_speakers(read_trials(write(tmp_path, SEVERAL)), read_speaker_map(tmp_path / "map.txt"))
    assert caught.value.row == row


@given(pairs=st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14), st.integers(0, 1)), min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_speakers_agree_with_connected_components(pairs: list[tuple[int, int, int]]) -> None:
    enrol, test, labels = map(list, zip(*pairs, strict=True))
    found = trials(enrol, test, labels)
    count = len(found.utterances)
    joined = [(a, b) for a, b, label in pairs if label]
    graph = coo_array((np.ones(len(joined)), ([a for a, _ in joined], [b for _, b in joined])), shape=(count, count))
    oracle = connected_components(graph, directed=False)[1]
    wrong = [row for row, (a, b, label) in enumerate(pairs, start=1) if not label and oracle[a] == oracle[b]]
    if wrong:
        with pytest.raises(TrialError, match=rf"\({len(wrong)} such trials?\)") as caught:
            found.speakers()
        assert caught.value.row == wrong[0]
    else:
        speakers = found.speakers()
        np.testing.assert_array_equal(speakers[:, None] == speakers, oracle[:, None] == oracle)
        assert sorted(set(speakers.tolist())) == list(range(speakers.max() + 1))


# ---------------------------------------------------------------------------------------------- layouts with a header

HEADERS = {
    "csv": "label,enrol,test\n1,a one.wav,b.wav\n0,a one.wav,c.wav\n",
    "quoted": '"label","enrol","test"\n"1","a one.wav","b.wav"\n"0","a one.wav","c.wav"\n',
    "other columns": "snr,Enroll,test,Target\n3,a one.wav,b.wav,true\n4,a one.wav,c.wav,false\n",
    "tsv": "enrolment\ttest\tlabel\na one.wav\tb.wav\ttarget\na one.wav\tc.wav\tnontarget\n",
    "NIST": "modelid\tsegmentid\tside\ttargettype\na one.wav\tb.wav\ta\ttarget\na one.wav\tc.wav\ta\tnontarget\n",
    "words joined": "enroll_id,test_id,is_target\na one.wav,b.wav,1\na one.wav,c.wav,0\n",
    "windows": "label,enrol,test\r\n1,a one.wav,b.wav\r\n0,a one.wav,c.wav\r\n",
}


@pytest.mark.parametrize("layout", HEADERS)
def test_columns_are_found_by_name(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "trials.csv"
    path.write_bytes(HEADERS[layout].encode())
    found = read_trials(path)
    assert found.utterances == ("a one.wav", "b.wav", "c.wav")
    assert (found.labels.tolist(), found.test.tolist(), found.rows.tolist()) == ([1, 0], [1, 2], [2, 3])


def test_a_header_without_labels_is_a_blind_list(tmp_path: Path) -> None:
    assert read_trials(write(tmp_path, "enrol,test\na,b\n")).blind


WORDS = st.text("ab/. \t\n\r\x0b\x0c\u00a0\u2003\u00e4", max_size=30)


@given(lines=st.lists(st.tuples(st.sampled_from("01"), WORDS, WORDS).map(" ".join), max_size=5), end=st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_quick_reader_reads_as_the_careful_one(
    lines: list[str], end: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def outcome(path: Path) -> object:
        try:
            return astuple(read_module.parse(path))
        except TrialError as error:
            return str(error)

    path = tmp_path_factory.getbasetemp() / "words.txt"
    path.write_text("1 x y\n0 x z\n" + "\n".join(lines) + "\n" * end, encoding="utf-8", newline="")
    quick = outcome(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_module, "_uniform", lambda *_: False)
        assert str(outcome(path)) == str(quick)


def test_gzip_is_read_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "trials.txt"
    path.write_bytes(gzip.compress(b"1 a b\n0 a c\n"))
    assert read_trials(path).labels.tolist() == [1, 0]
    path.write_bytes(gzip.compress(b"1 a b\n0 a c\n" * 100)[:40])
    with pytest.raises(TrialError, match="cannot be read"):
        read_trials(path)


def test_a_blind_list_has_no_labels_and_refuses_what_needs_them(tmp_path: Path) -> None:
    found = read_trials(write(tmp_path, "a b\nc a\n"))
    assert found.blind
    assert found.labels.tolist() == [-1, -1]
    for call in (found.speakers, found.expect_labels):
        with pytest.raises(TrialError, match="has scores but no error rate"):
            call()


def test_the_digest_is_of_the_trials_and_not_of_the_layout(tmp_path: Path) -> None:
    digests = {read_trials(write(tmp_path, text)).digest() for text in LAYOUTS.values()}
    assert len(digests) == 1
    assert read_trials(write(tmp_path, "1 a.wav b.wav\n0 c.wav a.wav\n")).digest() not in digests


# ---------------------------------------------------------------------------------------------------------- enrolment


def test_models_are_read_with_their_utterances(tmp_path: Path) -> None:
    path = write(tmp_path, "anna a1 a2 a3\n\nben b1\n")
    assert read_models(path) == {"anna": ("a1", "a2", "a3"), "ben": ("b1",)}
    path = write(tmp_path, "modelid\tsegmentid\tside\nanna\ta1\ta\nben\tb1\ta\nanna\ta2\ta\n")
    assert read_models(path) == {"anna": ("a1", "a2"), "ben": ("b1",)}
    with pytest.raises(TrialError, match="row 4: the column side says which part"):
        read_models(write(tmp_path, path.read_text().replace("a2\ta", "a2\tb")))


@pytest.mark.parametrize(
    ("text", "row", "words"),
    [("anna\n", 1, "anna has no utterance"), ("anna a\nanna b\n", 2, "anna stands twice"), ("\n", None, "no models")],
)
def test_models_that_cannot_be_used_are_refused(tmp_path: Path, text: str, row: int | None, words: str) -> None:
    with pytest.raises(TrialError, match=words) as caught:
        read_models(write(tmp_path, text))
    assert caught.value.row == row


# --------------------------------------------------------------------------------------------------------------- names

RULES = [
    (["a/1.wav", "b/2.wav"], ["b/2.wav", "a/1.wav"], "names as they are", [1, 0]),
    (["a/1.wav", "b/1.wav"], ["a/1.flac", "b/1.flac"], "names without extension", [0, 1]),
    (["/corpora/vox/id1/x/1.wav"], ["wav/id1/x/1.wav", "wav/id2/x/1.wav"], "the last 3 parts of the paths", [0]),
    (["/c/id1/x/1.wav"], ["id1-x-2", "id1/x/1"], "the last 3 parts of the paths, without extension", [1]),
    (["1.wav"], ["deep/er/1.wav", "deep/er/2.wav"], "the last part of the paths", [0]),
    (["ä.wav", "a\u0308.wav", "b"], ["b", "ä.wav"], "names in one normal form of Unicode (NFC)", [1, 1, 0]),
    (["/c/ä.wav"], ["a\u0308.flac", "a.flac"], "the last part of the paths, without extension", [0]),
    (
        ["id1-x-1", "id2-x-1"],
        ["w/id2/x/1.wav", "w/id1/x/1.wav"],
        "the last 3 parts of the paths joined by hyphens, without extension",
        [1, 0],
    ),
    (["C:\\vox\\id1\\1.wav"], ["id2/1.wav", "id1/1.wav"], "the last 2 parts of the paths", [1]),
]


@pytest.mark.parametrize(("names", "known", "rule", "rows"), RULES)
def test_names_are_found_by_the_first_rule_that_finds_all(
    names: list[str], known: list[str], rule: str, rows: list[int]
) -> None:
    found = match_names(names, known)
    assert (found.rule, found.rows.tolist()) == (rule, rows)


def test_what_is_missing_is_told_by_the_rule_that_finds_most() -> None:
    found = match_names(["/c/id1/1.wav", "/c/id1/2.wav", "/c/id2/1.wav"], ["id1/1.wav", "id2/1.wav"])
    assert (found.rule, found.rows.tolist()) == ("the last 2 parts of the paths", [0, -1, 1])
    assert match_names(["x"], ["y"]).rule == "names as they are"


def test_a_rule_that_makes_two_names_one_is_passed_over() -> None:
    found = match_names(["1.wav"], ["a/1.wav", "b/1.wav"])
    assert found.rows.tolist() == [-1]
    found = match_names(["x/1.wav", "y/1.wav"], ["z/1.wav"])
    assert found.rows.tolist() == [-1, -1]


@given(
    names=st.lists(st.text("ab/.", min_size=1, max_size=6), min_size=1, max_size=8, unique=True), seed=st.integers(0, 9)
)
@settings(max_examples=100, deadline=None)
def test_names_that_are_known_are_found_where_they_are(names: list[str], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(names))
    found = match_names(names, [names[i] for i in order])
    assert order[found.rows].tolist() == list(range(len(names)))


# --------------------------------------------------------------------------------------------------------------- checks


def findings(path: Path, known: list[str] | None = None) -> dict[str, tuple[str, int, tuple[int, ...]]]:
    return {f.kind: (f.severity, f.count, f.rows) for f in check_trials(path, known).findings}


def test_a_clean_list_has_no_findings(tmp_path: Path) -> None:
    found = check_trials(write(tmp_path, LAYOUTS["label first"]), ["a.wav", "b.wav", "c.wav"])
    assert found.usable
    assert found.findings == ()
    assert (found.trials, found.utterances, found.targets, found.nontargets) == (2, 3, 1, 1)
    assert found.rule == "names as they are"


def test_everything_wrong_is_found_with_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "1 a b\n0 a c\n\n1 a b\n1 b a\n0 c c\n0 b a\n1 x y\n")
    assert findings(path, ["a", "b", "c"]) == {
        "missing": ("error", 2, (8, 8)),
        "contradicting": ("error", 2, (6, 7)),
        "self-trial": ("warning", 1, (6,)),
        "duplicate": ("warning", 2, (4, 7)),
        "reversed": ("warning", 1, (5,)),
    }
    assert not check_trials(path).usable


def test_one_class_lists_are_errors_and_blind_ones_are_not(tmp_path: Path) -> None:
    assert findings(write(tmp_path, "0 a b\n0 a c\n")) == {"one class": ("error", 2, ())}
    assert findings(write(tmp_path, "a b\na c\n")) == {}


def test_many_missing_utterances_are_counted_and_ten_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"{n % 2} a{n} b{n}\n" for n in range(50)))
    found = check_trials(path, ["a0"], "the manifest m.csv").findings[0]
    assert (found.count, found.rows) == (99, (1, 2, 2, 3, 3, 4, 4, 5, 5, 6))
    assert found.text.startswith("99 of 100 utterances are not in the manifest m.csv: b0, a1, b1")
    assert found.text.endswith("a5, ...; names there are such as a0")


def test_findings_are_sentences_with_their_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "1 a b\n0 a c\n1 a b\n1 b a\n0 c c\n0 b a\n")
    assert [found.text for found in check_trials(path, ["x/a", "x/b"], "the cache c").findings] == [
        "1 of 3 utterances is not in the cache c: c; names there are such as x/a",
        "2 of 6 trials are labelled non-target, but target trials make their utterances one speaker (rows 5, 6)",
        "1 of 6 trials compares an utterance with itself (row 5)",
        "2 of 6 trials repeat another (rows 3, 6)",
        "1 of 6 trials repeats another in the other direction: with symmetric scores and equal conditions their pairs "
        "count twice (row 4)",
    ]


# ----------------------------------------------------------------------------------------------------- published lists

VOXCELEB = ("id10270/x6uYqmx31kE/00001", "id10300/ize-eiCFE_0/00003", "id10270/8jEAjG6SegY/00008")
PUBLISHED = "".join(
    f"{label} {a}.wav {b}.wav\n" for label, a, b in ((0, *VOXCELEB[:2]), (1, *VOXCELEB[::2]), (0, *VOXCELEB[1:]))
)
"""A list as VoxCeleb writes it."""


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> KnownList:
    """Publish the small list above."""
    md5 = hashlib.md5(PUBLISHED.encode(), usedforsecurity=False).hexdigest()
    known = KnownList("my list", 3, 1, 3, md5, "the paper uses another, 2")
    monkeypatch.setattr(known_module, "KNOWN", (known,))
    return known


SAME = {
    "as published": PUBLISHED,
    "windows": PUBLISHED.replace("\n", "\r\n"),
    "no last newline": PUBLISHED.rstrip(),
    "label last": "".join(f"{b} {c} {a}\n" for a, b, c in map(str.split, PUBLISHED.splitlines())),
    "csv": "label,enrol,test\n" + PUBLISHED.replace(" ", ","),
    "words": PUBLISHED.replace("0 id", "nontarget id").replace("1 id", "target id"),
    "a folder before": PUBLISHED.replace(" id", " /corpora/voxceleb1/wav/id"),
    "backslashes": PUBLISHED.replace("/", "\\"),
    "another format of audio": PUBLISHED.replace(".wav", ".m4a"),
    "names of Kaldi": PUBLISHED.replace("/", "-").replace(".wav", ""),
}


@pytest.mark.parametrize("layout", SAME)
def test_a_published_list_is_recognised_in_any_layout(tmp_path: Path, mine: KnownList, layout: str) -> None:
    path = write(tmp_path, SAME[layout])
    found = f"is my list with 3 trials (MD5 {mine.md5}); the paper uses another, 2"
    assert recognise(read_trials(path)) == found
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert check_trials(path).known == found


LINES = PUBLISHED.splitlines(keepends=True)
OTHER = {
    "order": ("".join(LINES[::-1]), ", but not its digest: a trial was changed, or the order of the trials"),
    "sides": (
        f"0 {VOXCELEB[1]}.wav {VOXCELEB[0]}.wav\n" + "".join(LINES[1:]),
        ", but not its digest: a trial was changed",
    ),
    "utterances": ("".join(LINES[:2]) + LINES[2].replace("00008", "00009"), ", but 4 utterances instead of 3"),
    "labels": (PUBLISHED.replace("0 id", "1 id", 1), ", but 2 targets instead of 1"),
    "labels exchanged": (
        "1" + LINES[0][1:] + "0" + LINES[1][1:] + LINES[2],
        ", but not its digest: a trial was changed",
    ),
    "an utterance": (PUBLISHED.replace("00008", "00009"), ", but not its digest: a trial was changed"),
    "another corpus": ("1 a b\n0 b c\n0 a c\n", ", but not its digest: a trial was changed"),
    "blind": ("".join(line[2:] for line in LINES), ", and no labels"),
}


@pytest.mark.parametrize("change", OTHER)
@pytest.mark.usefixtures("mine")
def test_a_changed_list_is_not_taken_for_the_published_one(tmp_path: Path, change: str) -> None:
    text, remark = OTHER[change]
    found = recognise(read_trials(write(tmp_path, text)))
    assert found.startswith(f"has the count of my list, 3 trials{remark}")
    assert found.endswith("; the paper uses another, 2")


def test_a_changed_list_of_the_paper_is_not_that_of_the_paper(
    tmp_path: Path, mine: KnownList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_module, "KNOWN", (replace(mine, note=OF_THE_PAPER),))
    assert recognise(read_trials(write(tmp_path, PUBLISHED))).endswith(OF_THE_PAPER)
    for text, _ in OTHER.values():
        assert OF_THE_PAPER not in recognise(read_trials(write(tmp_path, text)))


def test_digests_are_those_of_different_files() -> None:
    digests = [known.md5 for known in KNOWN if known.md5]
    assert len(set(digests)) == len(digests) == 6
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)
    assert len({known.trials for known in KNOWN}) == len(KNOWN)


@pytest.mark.parametrize("count", [known.trials for known in KNOWN])
def test_lists_with_the_count_of_a_published_one_are_compared_with_it(count: int) -> None:
    known = next(known for known in KNOWN if known.trials == count)
    utterances = known.utterances or 100
    labels = np.zeros(count, np.int8)
    labels[: known.targets or 1] = 1
    pairs = np.arange(count)
    names = tuple(map(str, range(utterances)))
    listed = Trials(Path("t"), names, pairs % utterances, (pairs + 1) % utterances, labels, pairs + 1)
    remark = ", but not its digest" if known.md5 else f"; {known.note}"
    assert recognise(listed).startswith(f"has the count of {known.name}, {count:,} trials{remark}")
    if known.targets:
        labels[known.targets] = 1
        assert f"{known.targets + 1:,} targets instead of {known.targets:,}" in recognise(listed)


def test_other_lists_are_not_recognised(tmp_path: Path) -> None:
    assert recognise(read_trials(write(tmp_path, "1 a b\n0 a c\n"))) == ""


# ------------------------------------------------------------------------------------------------------------ new lists


def speakers_table(speakers: int = 6, utterances: int = 5) -> pd.DataFrame:
    rows = [
        (f"s{s}/u{u}", f"s{s}", "fm"[s % 2], "en" if u % 2 else "de")
        for s in range(speakers)
        for u in range(utterances)
    ]
    return pd.DataFrame(rows, columns=["utterance", "speaker", "gender", "language"])


@given(
    seed=st.integers(0, 2**32 - 1),
    targets=st.integers(1, 60),
    nontargets=st.integers(1, 180),
    same=st.sets(st.sampled_from(["gender", "language"])),
)
@settings(max_examples=40, deadline=None)
def test_drawn_lists_keep_every_promise(seed: int, targets: int, nontargets: int, same: set[str]) -> None:
    table = speakers_table()
    of = table.set_index("utterance")
    possible = {0: 375, 1: 150, 2: 78}[len(same)] if same != {"language"} else 195
    if nontargets > possible:
        with pytest.raises(TrialError, match=f"the table allows {possible}"):
            make_trials(table, targets, nontargets, same=sorted(same), seed=seed)
        return
    lines = make_trials(table, targets, nontargets, same=sorted(same), seed=seed)
    assert [label for label, _, _ in lines] == [1] * targets + [0] * nontargets
    assert len({frozenset(names) for _, *names in lines}) == len(lines)
    for label, a, b in lines:
        assert (of["speaker"][a] == of["speaker"][b]) == bool(label)
        assert label or all(of[column][a] == of[column][b] for column in same)
    assert lines == make_trials(table, targets, nontargets, same=sorted(same), seed=seed)


def test_every_pair_can_be_asked_for() -> None:
    lines = make_trials(speakers_table(), 60, 375)
    assert len({frozenset(names) for _, *names in lines}) == 435
    with pytest.raises(TrialError, match="61 target trials were asked for, the table allows 60"):
        make_trials(speakers_table(), 61, 1)


def test_no_speaker_has_more_trials_than_the_limit() -> None:
    lines = make_trials(speakers_table(), 12, 9, per_speaker=3)
    for wanted in (0, 1):
        speakers = [{name.split("/")[0] for name in names} for label, *names in lines if label == wanted]
        counts = pd.Series([name for sides in speakers for name in sides]).value_counts()
        assert counts.max() <= 3
    with pytest.raises(TrialError, match="with at most 3 of one speaker"):
        make_trials(speakers_table(), 19, 1, per_speaker=3)


def test_what_is_not_known_agrees_with_nothing() -> None:
    table = speakers_table(speakers=4, utterances=2)
    table.loc[table["speaker"].isin(["s0", "s2"]), "gender"] = ""
    lines = make_trials(table, 4, 4, same=["gender"])
    assert {name[:2] for label, *names in lines if not label for name in names} == {"s1", "s3"}
    with pytest.raises(TrialError, match="the table allows 4"):
        make_trials(table, 4, 5, same=["gender"])


def test_tables_that_cannot_make_trials_are_refused() -> None:
    with pytest.raises(TrialError, match="lacks the column accent;"):
        make_trials(speakers_table(), 1, 1, same=["accent"])
    with pytest.raises(TrialError, match="lacks the columns utterance, speaker"):
        make_trials(pd.DataFrame({"x": [1]}), 1, 1)
    with pytest.raises(TrialError, match="the utterance s0/u0 stands twice in the table"):
        make_trials(pd.concat([speakers_table(), speakers_table().head(1)]), 1, 1)
    with pytest.raises(TrialError, match="no utterance has a speaker"):
        make_trials(speakers_table().assign(speaker=""), 1, 1)


@pytest.mark.parametrize("there", ["a pipe", "a device", "a column twice", "a stray quote"])
def test_tables_of_speakers_are_opened_as_every_input(tmp_path: Path, there: str) -> None:
    path = tmp_path / "speakers.csv"
    if there == "a pipe":
        os.mkfifo(path)
    elif there == "a device":
        path.symlink_to("/dev/zero")
    else:
        twice = "utterance,speaker,speaker\nu,s,t\n"
        path.write_text(twice if there == "a column twice" else 'utterance,speaker\nu,"s\nv,"t\n')
    with pytest.raises(TrialError, match=r"speakers\.csv: cannot be read"):
        read_speakers(path)


def test_vcmix_takes_targets_from_one_list_and_others_from_the_other(tmp_path: Path) -> None:
    vox, converse = tmp_path / "o.txt", tmp_path / "c.txt"
    vox.write_text("1 a b\n0 a c\n1 c d\n")
    converse.write_text("x.wav y.wav nontarget\nx.wav z.wav nontarget\n")
    lines, note = make_vcmix(vox, converse, vox1_folder="vox1/")
    assert lines == [(1, "vox1/a", "vox1/b"), (1, "vox1/c", "vox1/d"), (0, "x.wav", "y.wav"), (0, "x.wav", "z.wav")]
    assert note == "2 target and 2 non-target trials; the paper's VC-Mix has 18,802 and 140,734"
    with pytest.raises(TrialError, match="no target trials"):
        make_vcmix(converse, converse)


def test_vcmix_of_the_papers_size_is_recognised(tmp_path: Path) -> None:
    vox, converse, out = tmp_path / "o.txt", tmp_path / "c.txt", tmp_path / "mix.txt"
    vox.write_text("".join(f"1 a{n} b{n}\n" for n in range(18_802)) + "0 a0 a1\n")
    converse.write_text("".join(f"0 x{n % 900} y{n}\n" for n in range(140_734)))
    lines, note = make_vcmix(vox, converse)
    assert note == ""
    write_trials(lines, out)
    assert check_trials(out).known == "has the count of VC-Mix, 159,536 trials; the paper uses that list"


def test_names_with_spaces_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="holds white space"):
        write_trials([(1, "a b", "c")], tmp_path / "t.txt")
    assert not (tmp_path / "t.txt").exists()


# --------------------------------------------------------------------------------------------------------- command line


def test_check_reads_a_cache_and_exits_by_its_finding(tmp_path: Path) -> None:
    cache = evaluation_cache(tmp_path / "cache", speakers=3).path
    listed = write_demo_trials(tmp_path / "trials.txt", speakers=3)
    run = CliRunner().invoke(app, ["trials", "check", str(listed), "--cache", str(cache), "--json"])
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)
    assert (found["usable"], found["utterances"], found["rule"]) == (True, 12, "names as they are")
    listed.write_text(listed.read_text() + "0 gone.wav speaker00/utterance0.wav\n")
    run = CliRunner().invoke(app, ["trials", "check", str(listed), "--cache", str(cache)])
    assert run.exit_code == 1
    assert "error: 1 of 13 utterances is not in the cache" in run.stdout
    assert run.stdout.endswith("not usable\n")


def test_check_says_which_list_it_is_and_what_a_blind_one_is_good_for(tmp_path: Path, mine: KnownList) -> None:
    run = CliRunner().invoke(app, ["trials", "check", str(write(tmp_path, PUBLISHED))])
    assert run.exit_code == 0, run.output
    assert f"note: the list is my list with 3 trials (MD5 {mine.md5}); the paper uses another, 2\n" in run.stdout
    run = CliRunner().invoke(app, ["trials", "check", str(write(tmp_path, "a b\na c\n"))])
    assert run.exit_code == 0, run.output
    assert "2 trials (blind: scores, no error rates) over 3 utterances" in run.stdout


def test_check_reads_a_manifest(data_root: Path, manifests: Path) -> None:
    listed, manifest = data_root / "eval/trials_tiny.txt", manifests / "tiny/speech.csv"
    run = CliRunner().invoke(app, ["trials", "check", str(listed), "--manifest", str(manifest)])
    assert run.exit_code == 0, run.output
    assert f"SHA-256 of the trials: {read_trials(listed).digest()}" in run.stdout
    run = CliRunner().invoke(app, ["trials", "check", str(listed), "--manifest", str(manifest), "--cache", "x"])
    assert run.exit_code == 2


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(names_module).attempted > 0
    assert doctest.testmod(names_module).failed == 0


def test_make_and_make_vcmix_write_lists(tmp_path: Path) -> None:
    table, out, mix = tmp_path / "table.csv", tmp_path / "list.txt", tmp_path / "mix.txt"
    speakers_table().to_csv(table, index=False)
    arguments = ["--targets", "20", "--nontargets", "30", "--same", "gender", "--same", "language", "--json"]
    run = CliRunner().invoke(app, ["trials", "make", str(table), str(out), *arguments])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout) == {"list": str(out), "trials": 50, "targets": 20, "nontargets": 30}
    assert len(read_trials(out)) == 50
    run = CliRunner().invoke(app, ["trials", "make-vcmix", str(out), str(out), str(mix)])
    assert run.exit_code == 0, run.output
    assert "warning: 20 target and 30 non-target trials" in run.stderr
    assert mix.read_text() == out.read_text()


@pytest.mark.parametrize("text", ["1 a\0 b\n0 a c\n", "label,enrol,test\n1,a,b\n0,a\0,c\n"])
def test_nul_in_a_name_is_refused_by_its_row(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    row = 1 + text[: text.index("\0")].count("\n")
    with pytest.raises(TrialError, match=rf"list\.txt, row {row}: a name holds NUL"):
        read_trials(tmp_path / "list.txt")


LARGE = {
    "long names": lambda n: f"{n % 2} id{n % 40:05d}/{n * 7919 % 9973:011d}/1.wav id{n % 40:05d}/x/{n % 997:05d}.wav\n",
    "short names": lambda n: f"{n % 2} s{n % 97}-{n % 89} s{n % 83}-{n % 79}\n",
    "names of one trial": lambda n: f"{n % 2} speaker{n}-utterance-a speaker{n}-utterance-b\n",
    "blank lines": lambda n: f"{n % 2}  s{n % 97}-{n % 89} s{n % 83}-{n % 79}\n\n",
    "csv": lambda n: f"{n % 2},s{n % 97}-{n % 89},s{n % 83}-{n % 79}\n",
    "tabs": lambda n: f"{n % 2}\ts{n % 97}-{n % 89}\ts{n % 83}-{n % 79}\n",
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_list_takes_at_most_eight_times_its_size(tmp_path: Path, kind: str) -> None:
    header = {"csv": "label,enrol,test\n", "tabs": "label\tenrol\ttest\n"}.get(kind, "")
    text = header + "".join(map(LARGE[kind], range(100_000)))
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    read_trials(tmp_path / "list.txt")  # what is made once
    tracemalloc.start()
    try:
        assert len(read_trials(tmp_path / "list.txt")) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 8 * len(text)
    finally:
        tracemalloc.stop()
