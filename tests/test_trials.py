"""seedpipe.trials: both layouts, errors with their line, speakers told from the target trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seedpipe.errors import TrialError
from seedpipe.trials import Trials, read_trials


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
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_mean_the_same(tmp_path: Path, layout: str) -> None:
    found = read_trials(write(tmp_path, LAYOUTS[layout]))
    assert len(found) == 2
    assert found.utterances == ("a.wav", "b.wav", "c.wav")
    assert found.labels.tolist() == [1, 0]
    assert found.enrol.tolist() == [0, 0]
    assert found.test.tolist() == [1, 2]
    assert found.rows.tolist() == [1, 2]


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
    "label": ("1 a b\n0 a c\n2 a d\n", 3, "the label is '2'", "1 or target"),
    "label last": ("a b 1\na c same\n", 2, "the label is 'same'", "0 or nontarget"),
    "label in capitals": ("Target a b\n", 1, "the label is 'Target'", "1 or target"),
    "layouts mixed": ("1 a b\na c 0\n", 2, "the label is 'a'", "correct the line"),
    "four columns": ("1 a b.wav c.wav\n", 1, "4 columns", "names with spaces"),
    "one column": ("a\n", 1, "1 columns", "'label enrol test' or 'enrol test label'"),
    "blind": ("a.wav b.wav\na.wav c.wav\n", 1, "2 columns", "a list without labels has no error rate"),
    "later row short": ("1 a b\n\n0 a\n", 3, "2 columns", "expected 3 as in the lines before"),
    "only targets": ("1 a b\n1 a c\n", None, "2 trials, all labelled 1", "target and non-target"),
    "only others": ("0 a b\n", None, "1 trials, all labelled 0", "target and non-target"),
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
    with pytest.raises(TrialError, match=r"binary\.txt: cannot be read .*check manifest\.root"):
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
        with pytest.raises(TrialError, match=rf"\({len(wrong)} such trials\)") as caught:
            found.speakers()
        assert caught.value.row == wrong[0]
    else:
        speakers = found.speakers()
        np.testing.assert_array_equal(speakers[:, None] == speakers, oracle[:, None] == oracle)
        assert sorted(set(speakers.tolist())) == list(range(speakers.max() + 1))
