"""Which column of a list or of a score file is what: by the names in its header, else by what alone can stand there."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import TrialError

VOCABULARIES: tuple[dict[str, int], ...] = (
    {"1": 1, "0": 0},
    {"target": 1, "nontarget": 0, "non-target": 0, "impostor": 0, "imposter": 0},
    {"true": 1, "false": 0},
    {"tgt": 1, "imp": 0},
    {"tar": 1, "non": 0, "imp": 0},
    {"tc": 1, "tw": 0, "ic": 0, "iw": 0},
)
"""Words for labels in small letters, those of a list together; the last are of lists with right and wrong phrases."""
LABELS = {word: label for vocabulary in VOCABULARIES for word, label in vocabulary.items()}
"""Every word for a label, in small letters."""
LABELS_IN_WORDS = "1, target or true for the same speaker, 0, nontarget or false for two (or tgt and imp)"
HEADERS = {
    "enrol": {
        "enrol", "enroll", "enrolment", "enrollment", "enrolid", "enrollid", "enrolmentid", "enrollmentid", "enrolutt",
        "enrollutt", "model", "modelid", "file1", "utt1", "path1", "wav1", "audio1",
    },
    "test": {"test", "testid", "testutt", "segment", "segmentid", "file2", "utt2", "path2", "wav2", "audio2"},
    "label": {"label", "target", "targettype", "istarget", "samespeaker", "key"},
    "score": {"score", "llr"},
}  # fmt: skip
"""Names of columns, as :func:`plain` gives them."""
DECIDING = re.compile(
    r"(?:.*[^a-z])?(?:(?:test|enroll?|segment|model)?(?:side|channel)|chan)(?:[^a-z].*)?"
    r"|(?:.*[^a-z])?(?:(?:start|end|stop|begin)(?:[^a-z]?(?:time|frame|sample|second|sec|ms|s))?s?|t?beg|tend|offset|onset)",
    re.IGNORECASE,
)
"""Names of columns that say which part of a file is meant."""
DIGITS = {"0", "1"}
FEW = 0.01  # share of words, or one, that may be slips of the pen in a column of labels


@dataclass(frozen=True)
class Reading:
    """What each column is, by its number; None where there is none of the kind."""

    enrol: int
    test: int
    label: int | None = None
    score: int | None = None

    def __str__(self) -> str:
        places = {number: kind for kind, number in vars(self).items() if number is not None}
        return " ".join(places[number] for number in sorted(places))


def plain(cell: str) -> str:
    """The name of a column without capitals, quotes and what joins its words."""
    return cell.strip().strip('"').lower().replace("-", "").replace("_", "").replace(" ", "")


def is_header(cells: Sequence[str]) -> bool:
    """Whether a line names the columns of both sides."""
    names = {plain(cell) for cell in cells}
    return bool(names & HEADERS["enrol"]) and bool(names & HEADERS["test"])


def of_header(path: Path, header: Sequence[str], columns: Sequence[Sequence[str]], rows: NDArray[np.int64]) -> Reading:
    """Tell columns by the names in a header.

    Parameters
    ----------
    path : Path
    header : sequence of str
        With a column of both sides.
    columns : sequence of sequence of str
        Without the header.
    rows : ndarray of int64
        Lines of the file, for errors.

    Raises
    ------
    TrialError
        A kind of column stands twice, or one that decides which audio is meant has several values.
    """
    names = [plain(cell) for cell in header]
    kinds = ("enrol", "test", "label")
    places = {kind: [n for n, name in enumerate(names) if name in HEADERS[kind]] for kind in kinds}
    if twice := next((kind for kind, found in places.items() if len(found) > 1), None):
        raise TrialError(f"the header names the {twice} column twice", remedy="rename one", file=path, row=1)
    found = Reading(**{kind: numbers[0] if numbers else None for kind, numbers in places.items()})  # type: ignore[arg-type]
    others = [number for number in range(len(names)) if number not in vars(found).values()]
    for number in others:
        if DECIDING.fullmatch(header[number].strip().strip('"')):
            expect_one_value(path, header[number].strip(), columns[number], rows)
    return found


def expect_one_value(path: Path, name: str, column: Sequence[str], rows: NDArray[np.int64]) -> None:
    """Refuse a column that says which part of a file is meant, and has several values."""
    values = list(dict.fromkeys(column))
    if len(values) > 1:
        raise TrialError(
            f"the column {name} says which part of a file is meant ({', '.join(values[:3])}), "
            "and names of utterances do not",
            expected="names that tell the parts apart, as s1-a and s1-b, with embeddings of those names",
            remedy="write the column into the names, or leave out all but one of its values",
            file=path,
            row=int(rows[column.index(values[1])]),
        )


def of_words(
    path: Path, columns: Sequence[Sequence[str]], rows: NDArray[np.int64], *, label: bool = False, score: bool = False
) -> Reading | None:
    """Tell columns without a header: two of names beside each other, and one of labels, of scores, or of each.

    A column of labels holds nothing else, one of scores nothing but numbers. Of several readings those with labels in
    words come before those of 0 and 1, then those that have both kinds of trials, then those with scores that are not
    whole numbers.

    Returns
    -------
    Reading or None
        None where no column can be what is looked for.

    Raises
    ------
    TrialError
        Several readings are left, or another column would be one of labels but for a few words.
    """
    found = list(_readings(columns, label=label, score=score))
    for better in (_of_words, _of_both_kinds, _of_fractions):
        found = [reading for reading in found if better(columns, reading)] or found
    if len(found) > 1:
        texts = " and as ".join(f"'{reading}'" for reading in found)
        raise _ambiguous(path, f"can be read as {texts}", int(rows[0]))
    if found:
        _expect_no_rival(path, columns, rows, found[0])
    return found[0] if found else None


def _readings(columns: Sequence[Sequence[str]], *, label: bool, score: bool) -> Iterator[Reading]:
    labels: list[int | None] = [n for n, column in enumerate(columns) if _hold(column, _is_label)] if label else [None]
    scores: list[int | None] = [n for n, column in enumerate(columns) if _hold(column, _is_number)] if score else [None]
    for of_labels in labels:
        for of_scores in scores:
            if names := _beside_each_other(columns, {of_labels, of_scores}):
                yield Reading(*names, of_labels, of_scores)


def _beside_each_other(columns: Sequence[Sequence[str]], taken: Collection[int | None]) -> tuple[int, int] | None:
    """The two columns that are not taken, where they are neighbours."""
    names = [number for number in range(len(columns)) if number not in taken]
    return (names[0], names[1]) if len(names) == 2 and names[1] - names[0] == 1 else None


def _hold(column: Sequence[str], fits: Callable[[str], bool]) -> bool:
    """Whether a column holds such words alone; a column of names is told by its first."""
    return len(column) > 0 and fits(column[0]) and all(map(fits, set(column)))


def _is_label(word: str) -> bool:
    return word.lower() in LABELS


def may_be_labels(column: Sequence[str]) -> bool:
    """Whether a column holds words for labels alone, and both kinds of them."""
    return _hold(column, _is_label) and len({LABELS[word.lower()] for word in set(column)}) == 2


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _of_words(columns: Sequence[Sequence[str]], reading: Reading) -> bool:
    return reading.label is None or not set(columns[reading.label]) <= DIGITS


def _of_both_kinds(columns: Sequence[Sequence[str]], reading: Reading) -> bool:
    return reading.label is None or may_be_labels(columns[reading.label])


def _of_fractions(columns: Sequence[Sequence[str]], reading: Reading) -> bool:
    return reading.score is None or not all(word.lstrip("+-").isdigit() for word in set(columns[reading.score]))


def _expect_no_rival(path: Path, columns: Sequence[Sequence[str]], rows: NDArray[np.int64], reading: Reading) -> None:
    """Refuse a reading where slips of the pen alone keep another column from being the one of labels or of scores."""
    kinds: list[tuple[str, int | None, int | None, Callable[[str], bool]]] = []
    if reading.label is not None and not _of_words(columns, reading):
        kinds.append(("labels", reading.label, reading.score, DIGITS.__contains__))
    if reading.score is not None:
        kinds.append(("scores", reading.score, reading.label, _is_number))
    for kind, chosen, other, fits in kinds:
        for number in {*range(len(columns))} - {chosen, other}:
            column = columns[number]
            if not _beside_each_other(columns, {number, other}):
                continue
            most = min(max(1, int(FEW * len(column))), (len(column) - 1) // 2)
            wrong = list(islice((row for row, word in enumerate(column) if not fits(word)), most + 1))
            if 0 < len(wrong) <= most:
                but = f"but for {column[wrong[0]]!r}, column {number + 1} holds {kind}, too"
                raise _ambiguous(path, f"'{reading}' is one reading; {but}", int(rows[wrong[0]]))


def _ambiguous(path: Path, found: str, row: int) -> TrialError:
    return TrialError(
        found,
        expected="one reading",
        remedy="put a line with the names of the columns first, as 'enrol test label'",
        file=path,
        row=row,
    )
