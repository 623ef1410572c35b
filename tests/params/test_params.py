"""seedpipe.params: the committed file, its defaults, and errors that name key, row and remedy."""

from __future__ import annotations

import difflib
import re
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from synthetic import REPOSITORY

from seedpipe import params as module
from seedpipe.cli.common import Device, Kind
from seedpipe.cli.extract import Backend
from seedpipe.cli.train import Log
from seedpipe.errors import ParamsError
from seedpipe.params import EnhancerKind, ExtractParams, MachineParams, ManifestParams, Params, TrainParams, load_params

SECTIONS = {name: field.annotation for name, field in Params.model_fields.items()}
KEYS = [(section, key) for section, model in SECTIONS.items() for key in model.model_fields]
MODELS = [getattr(module, name) for name in module.__all__ if name.endswith("Params") and name != "Params"]


def load(folder: Path, text: str) -> Params:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return load_params(path)


def refused(folder: Path, text: str) -> ParamsError:
    with pytest.raises(ParamsError) as caught:
        load(folder, text)
    assert str(caught.value).startswith(str(folder / "params.yaml"))
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_committed_file_says_the_defaults() -> None:
    # But for draws and the length of the training, which are those of the demonstration.
    own = {"extract": ExtractParams(draws=5), "train": TrainParams(steps=255)}
    assert load_params(REPOSITORY / "params.yaml") == Params(**own)


def test_the_committed_file_has_every_section() -> None:
    data = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    assert list(data) == list(SECTIONS)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "{}\n", "---\n"])
def test_an_empty_file_gives_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Params()


def test_a_single_key_changes_that_key_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path, "train:\n  epochs: 7\n")
    assert loaded.train == Params().train.model_copy(update={"epochs": 7})
    assert loaded.model_copy(update={"train": Params().train}) == Params()


def test_lists_and_paths_get_their_types(tmp_path: Path) -> None:
    loaded = load(tmp_path, "manifest:\n  root: /data/x\n  evaluations: [vox1-o, a_b.c]\n")
    assert loaded.manifest.root == Path("/data/x")
    assert loaded.manifest.evaluations == ("vox1-o", "a_b.c")


def test_params_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Params().train.epochs = 3


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_has_a_sentence(model: type[BaseModel]) -> None:
    lacking = [name for name, field in model.model_fields.items() if not (field.description or "").strip()]
    assert not lacking
    assert all(field.description.endswith((".", "!")) for field in model.model_fields.values())


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (Kind, EnhancerKind),
        (Device, MachineParams.model_fields["device"].annotation),
        (Backend, MachineParams.model_fields["backend"].annotation),
        (Log, MachineParams.model_fields["log"].annotation),
    ],
)
def test_the_command_takes_the_values_that_the_file_takes(options: type[StrEnum], values: object) -> None:
    assert [option.value for option in options] == [value for value in get_args(values) if value]


@pytest.mark.parametrize(
    ("text", "row", "parts"),
    [
        ("trian:\n  epochs: 1\n", 1, ["trian", "unknown key", "did you mean 'train'?"]),
        ("train:\n  seed: 1\n  epohcs: 3\n", 3, ["train.epohcs", "unknown key", "did you mean 'epochs'?"]),
        (
            "extract:\n  augment:\n    music_snr: [1, 2]\n",
            3,
            ["extract.augment.music_snr", "did you mean 'music_snr_db'?"],
        ),
        ("extract:\n  evaluation:\n    crop: 3\n", 3, ["extract.evaluation.crop", "did you mean 'crops'?"]),
        ("train:\n  steps: 1.5\n", 2, ["train.steps", "1.5", "integer"]),
        ("train:\n  epochs: true\n", 2, ["train.epochs", "true", "integer"]),
        ("train:\n  epochs: '3'\n", 2, ["train.epochs", '"3"', "integer", "without quotes"]),
        ("train:\n  learning_rate: 5e-4\n", 2, ["train.learning_rate", "5e-4", "point and sign"]),
        ("train:\n  learning_rate: fast\n", 2, ["train.learning_rate", "fast", "number"]),
        ("train:\n  steps: 0\n", 2, ["train.steps", "0", "greater than or equal to 1"]),
        ("train:\n  ema_decay: 1.0\n", 2, ["train.ema_decay", "less than 1"]),
        ("train:\n  inference_step: 1000\n", 2, ["train.inference_step", "999"]),
        ("train:\n  seed: -1\n", 2, ["train.seed", "-1"]),
        ("train:\n  seed: 9223372036854775808\n", 2, ["train.seed", "less than"]),
        ("train:\n  ema_decay: .nan\n", 2, ["train.ema_decay", "NaN", "finite"]),
        ("train:\n  learning_rate: .inf\n", 2, ["train.learning_rate", "Infinity", "finite"]),
        ("train:\n  loss: l2\n", 2, ["train.loss", "l2", "'norm', 'l1', 'mse' or 'huber'"]),
        ("train:\n", 1, ["train", "null"]),
        ("train: 3\n", 1, ["train", "3"]),
        ("score:\n  bootstrap: 10\n", 2, ["score.bootstrap", "100"]),
        ("score:\n  methods: [cosinus]\n", 2, ["score.methods.0", "cosinus", "'cosine' or 'euclidean'"]),
        ("score:\n  methods: [cosine, cosine]\n", 2, ["score.methods", "'cosine'", "twice"]),
        ("score:\n  methods: []\n", 2, ["score.methods", "at least 1"]),
        ("manifest:\n  evaluations: [good, a/b]\n", 2, ["manifest.evaluations.1", "a/b"]),
        ("manifest:\n  evaluations: [../up]\n", 2, ["manifest.evaluations.0", "../up"]),
        ("manifest:\n  evaluations: [a, b, a]\n", 2, ["manifest.evaluations", "'a'", "twice"]),
        ("manifest:\n  evaluations: []\n", 2, ["manifest.evaluations", "at least 1"]),
        ("extract:\n  networks: [dvector, dvector]\n", 2, ["extract.networks", "twice"]),
        ("extract:\n  variants: [noise, nois]\n", 2, ["extract.variants.1", "nois", "music, noise, reverb"]),
        ("extract:\n  variants: [clean]\n", 2, ["extract.variants.0", "clean"]),
        ("extract:\n  variants: [music+noise]\n", 2, ["extract.variants.0", "mixes music and noise"]),
        ("extract:\n  variants: [reverb+noise]\n", 2, ["extract.variants.0", "in this order"]),
        ("extract:\n  variants: [noise+noise]\n", 2, ["extract.variants.0"]),
        (
            "extract:\n  evaluation:\n    conditions: [noise, noise]\n",
            3,
            ["extract.evaluation.conditions", "'noise'", "twice"],
        ),
        ("extract:\n  augment:\n    noise_snr_db: [15, 0]\n", 3, ["extract.augment.noise_snr_db", "starts at 15"]),
        ("extract:\n  augment:\n    noise_snr_db: [1, 2, 3]\n", 3, ["extract.augment.noise_snr_db"]),
        (
            "enhancers:\n  names: [seeds]\n",
            2,
            ["enhancers.names.0", "seeds", "'regression', 'centering', 'whitening', 'ridge', 'drl' or 'none'"],
        ),
        ("enhancers:\n  names: [drl, drl]\n", 2, ["enhancers.names", "'drl'", "twice"]),
        ("enhancers:\n  names: []\n", 2, ["enhancers.names", "at least 1"]),
        ("enhancers:\n  speaker_pattern: '('\n", 2, ["enhancers.speaker_pattern", "no regular expression"]),
        ("enhancers:\n  speaker_pattern: 'id'\n", 2, ["enhancers.speaker_pattern", "0 groups", "the speaker"]),
        ("enhancers:\n  whitening:\n    shrinkage: 1.0\n", 3, ["enhancers.whitening.shrinkage", "less than 1"]),
        ("enhancers:\n  drl:\n    epoch: 3\n", 3, ["enhancers.drl.epoch", "did you mean 'epochs'?"]),
        ("extract:\n  on_bad_audio: ignore\n", 2, ["extract.on_bad_audio", "'fail' or 'skip'"]),
        ("train:\n  seed: 1\n  epochs: 2\n  seed: 3\n", 4, ["train.seed", "twice", "row 2"]),
        ("train:\n  seed: 010\n", 2, ["train.seed", "010", "without zeros in front"]),
        ("extract:\n  draws: 1:30\n", 2, ["extract.draws", "1:30", "without colons"]),
        ("score:\n  timesteps: [1, 050]\n", 2, ["score.timesteps", "050"]),
        ('train: {seed: "\\ud800"}\n', None, ["surrogates"]),
        ("train:\n  seed: 1\nscore:\n  seed: 1\ntrain:\n  epochs: 2\n", 5, ["train", "twice", "row 1"]),
        ("train: [\n", 2, ["not plain YAML"]),
        ("train:\n\tseed: 1\n", 2, ["not plain YAML"]),
        ("train:\n  seed: 1\n---\nscore: {}\n", 3, ["not plain YAML"]),
        ("!!python/object/apply:os.getcwd []\n", 1, ["not plain YAML"]),
        ("train:\n  seed: 2020-13-45\n", None, ["not plain YAML", "month"]),
        ("train:\n  seed: 2020-12-24\n", None, ["not plain YAML", "date"]),
        ("train: &a\n  seed: *a\n", None, ["not plain YAML"]),
        ("- train\n", None, ["list", "sections"]),
        ("[]\n", None, ["list", "sections"]),
        ("false\n", None, ["bool", "sections"]),
        ("just words\n", None, ["str", "sections"]),
    ],
)
def test_a_bad_file_is_refused_with_key_and_row(tmp_path: Path, text: str, row: int | None, parts: list[str]) -> None:
    error = refused(tmp_path, text)
    assert error.row == row
    for part in parts:
        assert part in str(error)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="run in the folder of the project"):
        load_params(tmp_path / "params.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00train")
    with pytest.raises(ParamsError, match="cannot be read"):
        load_params(tmp_path / "params.yaml")


def likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, one).ratio()


LETTERS = "abcdefghijklmnopqrstuvwxyz_"


@given(key=st.sampled_from(KEYS), where=st.integers(0, 30), letter=st.sampled_from(LETTERS), drop=st.booleans())
@settings(max_examples=80, deadline=None)
def test_any_misspelt_key_is_refused_with_a_near_name(
    key: tuple[str, str], where: int, letter: str, drop: bool
) -> None:
    section, name = key
    where %= len(name)
    wrong = name[:where] + ("" if drop and len(name) > 1 else letter) + name[where + 1 :]
    if wrong in SECTIONS[section].model_fields:
        return
    with tempfile.TemporaryDirectory() as folder:
        error = refused(
            Path(folder),
            f"machine: {{}}\n{section}:\n  {wrong!r}: 1\n" if section != "machine" else f"\nmachine:\n  {wrong!r}: 1\n",
        )
    assert error.row == 3
    assert f"{section}.{wrong}: unknown key" in str(error)
    suggested = re.search(r"did you mean '(\w+)'\?", str(error))
    assert suggested
    # A slip may be as near to a neighbour, as inference_stepz is to inference_step.
    assert likeness(wrong, suggested[1]) >= likeness(wrong, name)


def test_changes_stand_in_the_place_of_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train:\n  steps: 7\n  seed: 3\n", encoding="utf-8")
    found = load_params(path, ["train.steps=9", "extract.networks=[a, b]", "train.preset=paper"])
    assert (found.train.steps, found.train.seed, found.extract.networks) == (9, 3, ("a", "b"))
    assert found.train.batch_rows == 300, "the preset counts for keys that are not given"
    assert load_params(None, ["train.steps=9"]) == Params(train=TrainParams(steps=9))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("train.epohcs=5", r"train\.epohcs: unknown key; .*did you mean 'epochs'\?"),
        ("trian.epochs=5", r"trian: unknown key; .*did you mean 'train'\?"),
        ("train.epochs=x", r'train\.epochs: "x"; expected a valid integer'),
        ("train.epochs", r"a change 'train\.epochs'; expected KEY=VALUE"),
        ("train..epochs=5", "expected KEY=VALUE"),
        ("train.epochs=[", "is not plain YAML"),
        ("train={seed: 1, seed: 2}", "seed: the key stands twice"),
        ("train.seed=010", "010 is one number in YAML 1.1"),
    ],
)
def test_a_wrong_change_is_named_and_no_row_of_the_file(tmp_path: Path, change: str, words: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train:\n  epochs: 3\n", encoding="utf-8")
    with pytest.raises(ParamsError, match=words) as caught:
        load_params(path, [change])
    assert (caught.value.file, caught.value.row) == (None, None)


def test_parameters_are_replaced_by_what_is_checked() -> None:
    changed = TrainParams(steps=7).replace(epochs=5)
    assert (changed.steps, changed.epochs) == (7, 5)
    assert (changed.replace(steps=9).steps, changed.replace(steps=9).epochs) == (9, 0)
    assert TrainParams(preset="paper").replace(seed=1) == TrainParams(preset="paper", seed=1)
    whole = Params().replace(train=changed)
    assert whole.train == changed
    for changes, words in (({"epohcs": 10}, "did you mean 'epochs'"), ({"epochs": -1}, "greater than or equal to 0")):
        with pytest.raises(ParamsError, match=words):
            TrainParams().replace(**changes)
    with pytest.raises(ParamsError, match="epohcs: unknown key"):
        TrainParams().model_copy(update={"epohcs": 10})


@pytest.mark.parametrize(
    "change",
    [
        {"augment": {"noise_snr_db": (0.0, 1e308)}},
        {"evaluation": {"conditions": ("noise@" + "9" * 400,)}},
        {"evaluation": {"conditions": ("noise@1000",)}},
        {"evaluation": {"crop_samples": 999_999_999_999}},
        {"crop_samples": 999_999_999_999},
        {"draws": 10**12},
        {"draws": 10**400},
    ],
)
def test_numbers_beyond_all_use_are_refused_before_memory_is_taken(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ExtractParams.model_validate(change)


def test_a_pattern_that_cannot_be_compiled_is_refused() -> None:
    with pytest.raises(ValidationError, match="is no regular expression: the repetition number is too large"):
        ManifestParams.model_validate({"group_pattern": "(a{1,99999999999})"})
