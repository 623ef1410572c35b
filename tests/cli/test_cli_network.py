"""``seedpipe network``: one line per result, one line per error, and what was there stays when something fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import STUB
from typer.testing import CliRunner, Result

from seedpipe.cli import app
from seedpipe.files import sealed
from seedpipe.networks import load_network
from seedpipe.networks.resnet34 import ResNet34

pytest.importorskip("torchaudio")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["network", *map(str, arguments)])


def done(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("seedpipe: error: ")
    return line


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "official.model"
    torch.save(ResNet34(16, seed=1).state_dict(), path)
    return path


def test_a_checkpoint_is_converted_described_and_checked(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = done(invoke("convert", checkpoint, "networks/mine", "--json"))
    network = ResNet34(16, seed=1)
    expected = {
        "name": "mine",
        "kind": "resnet34",
        "about": "ResNet34 with squeeze-and-excitation and attentive statistics pooling (H/ASP): 64 log mels -> 512-d.",
        "source": 'Heo et al., "Clova baseline system for the VoxCeleb speaker recognition challenge 2020", '
        "arXiv:2009.14153.",
        "dimension": 16,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "sample_rate": 16_000,
        "min_samples": 257,
        "fingerprint": network.fingerprint(),
    }
    assert made == {"folder": "networks/mine"} | expected
    assert done(invoke("info", "networks/mine", "--json")) == expected
    assert "parameters    5,9" in invoke("info", "networks/mine").stdout
    checked = done(invoke("check", "networks/mine", "--json"))
    assert checked["passed"] is True
    assert [check["name"] for check in checked["checks"]] == [
        "shape",
        "finite values",
        "the same again",
        "a row without regard to its batch",
        "silence",
        "257 samples, the shortest",
        "the stored self-test",
    ]
    assert len(checked["self_test"]) == 8
    assert done(invoke("list", "--json")) == [
        {"network": "networks/mine", "kind": "resnet34", "dimension": 16},
        {"network": "dvector", "kind": "built in", "dimension": None},
        {"network": "campplus", "kind": "built in", "dimension": None},
    ]
    assert invoke("list").stdout.splitlines() == [
        f"{'networks/mine':32}  {'resnet34':12}  16-d",
        f"{'dvector':32}  built in",
        f"{'campplus':32}  built in",
    ]


def test_a_changed_self_test_fails_the_check(tmp_path: Path) -> None:
    folder = tmp_path / "stub"
    assert invoke("add", folder, "--factory", STUB).exit_code == 0
    config = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    config["self_test"][3] *= 1.01
    (folder / "network.json").write_text(json.dumps(sealed(config)), encoding="utf-8")
    result = invoke("check", folder)
    assert result.exit_code == 1
    assert result.stderr == f"seedpipe: error: {folder} fails: the stored self-test\n"
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1
    assert "1e-04 allowed" in failed[0]


def test_arguments_reach_the_factory_as_numbers_truth_values_or_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "with_arguments.py").write_text(
        "from stub_network import Stub\n"
        "def make(number, share, flag, text):\n"
        "    assert (number, share, flag, text) == (3, 0.5, True, '[1]'), (number, share, flag, text)\n"
        "    return Stub()\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    pairs = ("number=3", "share=0.5", "flag=true", "text=[1]")
    options = [part for pair in pairs for part in ("--argument", pair)]
    assert invoke("add", tmp_path / "mine", "--factory", "with_arguments:make", *options).exit_code == 0
    assert load_network(tmp_path / "mine").name == "stub"
    config = json.loads((tmp_path / "mine" / "network.json").read_text(encoding="utf-8"))
    assert config["arguments"] == {"number": 3, "share": 0.5, "flag": True, "text": "[1]"}


def test_errors_are_one_line_and_leave_no_folder(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "networks" / "x"
    assert "these entries belong to resnet34" in refused(invoke("convert", checkpoint, out, "--kind", "ecapa"))
    assert "there is no such file" in refused(invoke("convert", tmp_path / "nothing.pt", out))
    assert "unknown network 'resnet'" in refused(invoke("add", out, "--factory", "resnet"))
    assert "there is no kind 'vgg' of networks" in refused(invoke("add", out, "--builtin", "vgg"))
    assert "cannot be read (no such file" in refused(invoke("add", out, "--onnx", tmp_path / "x.onnx"))
    assert "unknown network 'networks/none'" in refused(invoke("info", "networks/none"))
    assert not out.exists()


@pytest.mark.parametrize(
    "options",
    [[], ["--factory", STUB, "--builtin", "dvector"], ["--factory", STUB, "--argument", "no equals sign"]],
    ids=["none", "two", "argument"],
)
def test_wrong_usage_has_its_own_exit_code(options: list[str], tmp_path: Path) -> None:
    assert invoke("add", tmp_path / "x", *options).exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["list", "info", "check", "convert", "add"])
def test_every_command_has_an_example_and_json(command: str) -> None:
    text = " ".join(invoke(command, "--help").stdout.split())
    assert f"Example: seedpipe network {command}" in text
    assert "--json" in text
