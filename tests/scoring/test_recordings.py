"""``seedpipe embed``, ``seedpipe verify``: the numbers of an evaluation cache, and a verdict that is never guessed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest
import torch
from conftest import STUB, tone, write_audio
from stub_network import Stub
from synthetic import enhancer
from typer.testing import CliRunner, Result

import seedpipe
from seedpipe.audio import find_audio, list_files, write_manifest
from seedpipe.audio.manifest import SPEECH
from seedpipe.cache import NetworkInfo, open_cache
from seedpipe.cache.exchange import export_cache, read_vectors
from seedpipe.cli import app
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.errors import ExchangeError, ManifestError, MetricError, ModelError, NetworkError, SeedpipeError
from seedpipe.extract import extract
from seedpipe.params import EvaluationParams, ExtractParams, MachineParams, Params, TrainParams
from seedpipe.scoring.calibration import Calibration
from seedpipe.scoring.decision import calibrate_model

PARAMS = Params(
    extract=ExtractParams(evaluation=EvaluationParams(crop_samples=6_000)), machine=MachineParams(jobs=1, device="cpu")
)
QUIET = ["-S", "machine.jobs=1", "-S", "machine.device=cpu"]
LENGTHS = {"anna/a.wav": 1.0, "anna/b.flac": 0.9, "ben/short.wav": 0.2}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of speech, and a model for the network of the tests."""
    for name, seconds in LENGTHS.items():
        write_audio(tmp_path / "speech" / name, tone(150, seconds, seed=len(name)))
    info = NetworkInfo(name="stub", fingerprint=Stub().fingerprint(), dimension=8, sample_rate=16_000)
    train = TrainParams(normalize="length", output="network")
    config = ModelConfig(
        network=info,
        normalization=Normalization(kind="length", scale=2.0),
        train=train,
        cache="",
        seedpipe=seedpipe.__version__,
    )
    Enhancer(enhancer(8).module, config).save(tmp_path / "model", "# Card\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def evaluated(work: Path, **evaluation: Any) -> np.ndarray:
    """What an evaluation cache of the speech holds, (rows, D)."""
    write_manifest(list_files(work / "speech", find_audio(work / "speech"))[0], work / "m" / SPEECH)
    params = ExtractParams(evaluation=EvaluationParams(crop_samples=6_000, conditions=(), **evaluation))
    made = extract(work / "m", STUB, work / "cache", params, kind="evaluation", machine=PARAMS.machine)
    return made.to_numpy()[:, 0]


# --------------------------------------------------------------------------------------------------------------- embed


@pytest.mark.parametrize("out", ["e.npz", "e.npy", "e.parquet", "e.ark"])
@pytest.mark.parametrize(("crops", "evaluation"), [(0, {"whole": (STUB,)}), (3, {"crops": 3})])
def test_the_numbers_are_those_of_an_evaluation_cache(
    work: Path, out: str, crops: int, evaluation: dict[str, Any]
) -> None:
    result = seedpipe.embed_files("speech", out, network=STUB, crops=crops, params=PARAMS)
    expected, rows = evaluated(work, **evaluation), crops or 1
    assert (result.rows, result.dimension) == (3 * rows, 8)
    found = read_vectors(work / out, work / "e.txt")
    assert found.keys == [(name, draw) for name in LENGTHS for draw in range(rows)]
    assert (np.asarray(found.values) == expected).all()
    assert not [path for path in work.iterdir() if path.name.startswith(".")]


def test_the_command_writes_one_vector_of_each_file(work: Path) -> None:
    done = invoke("embed", "speech", "e.ark", "--network", STUB, "--json", *QUIET)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout).items() >= {"files": ["e.ark", "e.scp"], "rows": 3, "dimension": 8}.items()
    assert [name for name, _ in kaldiio.load_ark(str(work / "e.ark"))] == list(LENGTHS)


@pytest.mark.parametrize(
    ("audio", "names"),
    [
        (["speech/anna/a.wav"], ["speech/anna/a.wav"]),
        (["speech/ben", "speech/anna/*"], ["short.wav", "speech/anna/a.wav", "speech/anna/b.flac"]),
        (["speech/**/*.wav"], ["speech/anna/a.wav", "speech/ben/short.wav"]),
        (["maps/wav.scp"], ["second", "first"]),
    ],
)
def test_files_folders_patterns_and_maps_give_names(work: Path, audio: list[str], names: list[str]) -> None:
    (work / "maps").mkdir()
    (work / "maps" / "wav.scp").write_text("second speech/anna/b.flac\nfirst ../speech/anna/a.wav\n", encoding="utf-8")
    seedpipe.embed_files(audio, "e.npz", network=STUB, params=PARAMS)
    with np.load(work / "e.npz") as made:
        assert made["utterance"].tolist() == names
        assert made["embeddings"].shape == (len(names), 8)


def test_a_model_enhances_and_names_its_network(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = evaluated(work, whole=(STUB,))
    seedpipe.embed_files("speech", "e.npz", model="model", network=STUB, params=PARAMS)
    assert np.abs(np.load("e.npz")["embeddings"] - Enhancer.load("model")(raw)).max() < 1e-6
    assert read_vectors(work / "e.npz").provenance.enhancer == "seed"  # type: ignore[union-attr]
    assert seedpipe.embed_files("speech", "e.npz", network=STUB, params=PARAMS).rows == 3
    monkeypatch.setattr("seedpipe.scoring.recordings._named", lambda _: STUB)
    assert seedpipe.embed_files("speech", "f.npz", model="model", params=PARAMS).rows == 3


def test_an_interrupted_run_goes_on(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def run() -> None:
        seedpipe.embed_files("speech", "e.npz", network=STUB, params=PARAMS, progress=lambda done, _: seen.append(done))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seedpipe.scoring.recordings._write", full)
    with pytest.raises(OSError, match="No space"):
        run()
    monkeypatch.undo()
    os.chdir(work)
    before = list(seen)
    run()
    assert seen == before, "the network was not asked again"
    assert (work / "e.npz").exists()


@pytest.mark.parametrize(
    ("audio", "out", "network", "error", "text"),
    [
        ("absent.wav", "e.npz", STUB, SeedpipeError, "absent.wav"),
        ("nothing/*.wav", "e.npz", STUB, ManifestError, "matches no files"),
        ([], "e.npz", STUB, ManifestError, "no audio is given"),
        (["speech/anna", "other"], "e.npz", STUB, ManifestError, "are both called a.wav"),
        ("speech", "e.txt", STUB, SeedpipeError, "has the extension .txt"),
        ("speech", "e", STUB, SeedpipeError, "has the extension of none"),
        ("speech", "e.npz", "", NetworkError, "no network is named"),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    work: Path, audio: Any, out: str, network: str, error: type[SeedpipeError], text: str
) -> None:
    write_audio(work / "other" / "a.wav", tone(150, 0.5))
    with pytest.raises(error, match=text):
        seedpipe.embed_files(audio, out, network=network, params=PARAMS)
    assert not (work / out).exists()


@pytest.mark.parametrize(("out", "beside"), [("e.npy", "e.txt"), ("e.ark", "e.scp")])
def test_what_goes_with_an_output_does_not_replace_what_is_of_others(work: Path, out: str, beside: str) -> None:
    Path(beside).write_text("a list of mine\n", encoding="utf-8")
    with pytest.raises(ExchangeError, match=rf"{beside}: is there, and no {out} that it goes with"):
        seedpipe.embed_files("speech", out, network="absent", params=PARAMS)  # before anything else is looked at
    assert Path(beside).read_text(encoding="utf-8") == "a list of mine\n"
    Path(beside).unlink()
    for _ in range(2):  # its own are replaced
        assert seedpipe.embed_files("speech", out, network=STUB, params=PARAMS).rows == 3
    evaluated(work, whole=(STUB,))
    Path(out).unlink()
    with pytest.raises(ExchangeError, match="move the file away"):
        export_cache(open_cache("cache"), out, variant="clean")
    assert Path(beside).is_file()


# -------------------------------------------------------------------------------------------------------------- verify


def test_a_verdict_says_what_it_rests_on(work: Path) -> None:
    a, b = Path("speech/anna/a.wav"), Path("speech/ben/short.wav")
    found = seedpipe.verify_files(a, str(b), network=STUB, threshold=0.5, params=PARAMS)
    raw = torch.from_numpy(evaluated(work, whole=(STUB,)))
    assert found.score == pytest.approx(torch.cosine_similarity(raw[0], raw[2], dim=0).item(), abs=1e-6)
    assert (found.same, found.threshold, found.threshold_from, found.llr) == (found.score >= 0.5, 0.5, "given", None)
    assert (found.enrol.seconds, found.test.seconds, found.network, found.enhancer) == (1.0, 0.2, "stub", "")
    power = np.square(tone(150, 1.0, seed=len("anna/a.wav"))).mean()
    assert found.enrol.level_dbfs == pytest.approx(10 * np.log10(power), abs=0.1)
    assert seedpipe.verify_files(a, a, network=STUB, threshold=1.0 - 1e-6, params=PARAMS).same


def test_the_threshold_of_a_model_is_in_its_folder_and_on_its_card(work: Path) -> None:
    with pytest.raises(MetricError, match="nothing says from which similarity on"):
        seedpipe.verify_files("speech/anna/a.wav", "speech/ben/short.wav", model="model", network=STUB, params=PARAMS)
    for scale in (20.0, 10.0):  # the second one takes the place of the first
        calibrate_model(Calibration(scale, -6.0, {}), "model")
    card = (work / "model" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Card\n")
    assert card.count("from a cosine of 0.6000 on") == card.count("## Decision") == 1
    found = seedpipe.verify_files(
        "speech/anna/a.wav", "speech/ben/short.wav", model="model", network=STUB, params=PARAMS
    )
    assert (found.threshold, found.enhancer) == (0.6, "seed")
    assert found.threshold_from == str(Path("model", "calibration.json"))
    assert found.llr == pytest.approx(10 * found.score - 6)
    assert found.same == (found.llr >= 0)


@pytest.mark.parametrize("there", ["other bytes", "a pipe", "nothing"])
def test_a_card_that_cannot_be_read_is_refused_by_name(work: Path, there: str) -> None:
    card = work / "model" / "README.md"
    card.unlink()
    if there == "other bytes":
        card.write_bytes(b"# Gr\xfc\xdfe\n")
    elif there == "a pipe":
        os.mkfifo(card)
    with pytest.raises(ModelError, match=r"README\.md: cannot be read .*expected a model card in UTF-8"):
        calibrate_model(Calibration(20.0, -6.0, {}), "model")
    assert not (work / "model" / "calibration.json").exists()


def test_a_threshold_beside_a_calibration_and_crops_that_are_none_are_refused(work: Path) -> None:  # noqa: ARG001
    pair = ("speech/anna/a.wav", "speech/ben/short.wav")
    with pytest.raises(MetricError, match="there are a threshold and a calibration; expected one of them"):
        seedpipe.verify_files(*pair, network=STUB, threshold=0.5, calibration="c.json", params=PARAMS)
    for crops in (-1, 1.5):
        with pytest.raises(SeedpipeError, match=f"crops is {crops}; expected a whole number, 0 for the whole file"):
            seedpipe.embed_files(["speech"], "new.npz", network=STUB, crops=crops, params=PARAMS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("column", "enhanced"),
    [("cosine:noise:network", True), ("cosine:noise:enhanced", False), ("euclidean:noise:enhanced", True)],
)
def test_a_calibration_of_another_system_is_refused(work: Path, column: str, enhanced: bool) -> None:
    found = Calibration(20.0, -6.0, {}, column)
    found.save(work / "c.json")
    given = {"calibration": "c.json", "network": STUB, "model": "model" if enhanced else None, "params": PARAMS}
    with pytest.raises(MetricError, match=f"fitted on the column '{column}'; expected cosine scores with"):
        seedpipe.verify_files("speech/anna/a.wav", "speech/ben/short.wav", **given)
    if enhanced:
        with pytest.raises(MetricError, match=f"fitted on the column '{column}'"):
            calibrate_model(found, "model")
        assert not (work / "model" / "calibration.json").exists()
        calibrate_model(Calibration(20.0, -6.0, {}, "cosine:noise:enhanced"), "model")


@pytest.mark.parametrize(("threshold", "code"), [("-1", 0), ("1", 1)])
def test_the_exit_code_is_the_verdict(work: Path, threshold: str, code: int) -> None:  # noqa: ARG001
    command = ["verify", "speech/anna/a.wav", "speech/ben/short.wav", "--network", STUB, *QUIET]
    done = invoke(*command, "--threshold", threshold, "--json")
    assert done.exit_code == code, done.stderr
    assert json.loads(done.stdout)["same"] == (code == 0)
    text = invoke(*command, "--threshold", threshold).stdout
    assert text.startswith("different speakers: similarity " if code else "the same speaker: similarity ")
    assert "speech/ben/short.wav: 0.20 s, -" in text


def test_an_error_is_no_verdict(work: Path) -> None:  # noqa: ARG001
    pair = ("verify", "speech/anna/a.wav", "speech/ben/short.wav", "--network", STUB)
    for wrong in ((*pair,), (*pair, "--threshold", "2"), ("verify", "a.wav", *pair[2:], "--threshold", "0.5")):
        done = invoke(*wrong)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("seedpipe: error: ")


def test_calibrate_puts_it_into_the_model(work: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    scores = 0.5 * labels + 0.1 * rng.standard_normal(400)
    lines = [f"{label},e{n},t{n},{score}\n" for n, (label, score) in enumerate(zip(labels, scores, strict=True))]
    (work / "scores.csv").write_text("label,enrol,test,score\n" + "".join(lines), encoding="utf-8")
    done = invoke("calibrate", "scores.csv", "c.json", "--model", "model")
    assert done.exit_code == 0, done.stderr
    assert (work / "model" / "calibration.json").read_bytes() == (work / "c.json").read_bytes()
    assert "## Decision" in (work / "model" / "README.md").read_text(encoding="utf-8")
    Enhancer.load("model").save("model", "# Again\n")  # another training takes its place, and nothing of it stays
    assert not (work / "model" / "calibration.json").exists()
