"""Networks of other packages: one that is installed registers itself, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seedpipe.errors import NetworkError
from seedpipe.networks import load_network

HERE = Path(__file__).resolve().parents[2]
MODULE = '''
import hashlib
import torch


class Energy:
    """Mean power of eight parts of a waveform."""

    name = "energy"
    sample_rate = 8_000
    dimension = 8
    min_samples = 8

    def __call__(self, waveforms):
        used = waveforms.shape[1] // 8 * 8
        return waveforms[:, :used].unflatten(1, (8, -1)).square().mean(dim=2)

    def fingerprint(self):
        return hashlib.sha256(b"energy 1").hexdigest()

    def to(self, device):
        return self
'''
USE = """
import json, torch
from pathlib import Path
from seedpipe.networks import load_network, network_names
from seedpipe.networks import add_network
network = load_network("energy")
add_network(Path("networks/mine"), "factory", "energy")
again = load_network("networks/mine").fingerprint() == network.fingerprint()
print(json.dumps([network_names(), network.name, network(torch.ones(2, 80)).tolist(), again]))
"""


def install(folder: Path) -> None:
    """What pip writes for a package with one entry point; pip itself takes seconds."""
    folder.mkdir()
    (folder / "energy_network.py").write_text(MODULE, encoding="utf-8")
    info = folder / "energy_network-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: energy-network\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[seedpipe.networks]\nenergy = energy_network:Energy\n", encoding="utf-8")


def test_an_installed_package_brings_a_network(tmp_path: Path) -> None:
    install(tmp_path / "site")
    path = f"{tmp_path / 'site'}{os.pathsep}{HERE}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["dvector", "campplus", "energy"], "energy", [[1.0] * 8] * 2, True]
    # Here, where the package is not installed:
    with pytest.raises(NetworkError, match="unknown network 'energy'; expected dvector, "):
        load_network(tmp_path / "networks" / "mine")
