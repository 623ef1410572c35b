"""Whether a machine and the project in the current folder have all that the pipeline needs, one small check each."""

from __future__ import annotations

import functools
import shutil
import sys
from pathlib import Path

from seedpipe.errors import NetworkError, SeedpipeError
from seedpipe.params import Params, load_params
from seedpipe.project import data, machine
from seedpipe.project.finding import Finding, of_error, tried
from seedpipe.project.paths import ProjectPaths
from seedpipe.project.start import pipeline_files

PARAMS = Path("params.yaml")


def examine() -> list[Finding]:
    """Check the machine, and the project in the current folder if there is one.

    Returns
    -------
    list of Finding
        No check raises: what is wrong is a finding that says what to do.
    """
    if not PARAMS.is_file():
        nothing = Finding("project", "note", f"no {PARAMS} here, so only the machine was checked", "seedpipe init")
        return [*_machine(Params()), *machine.extras(), nothing]
    try:
        params = load_params(PARAMS)
    except SeedpipeError as error:
        return [*_machine(Params()), *machine.extras(), of_error("params.yaml", error)]
    return [*_machine(params), *machine.extras(_needed_extras(params)), *_project(params)]


def _machine(params: Params) -> list[Finding]:
    checks = (machine.python, machine.packages, machine.torchaudio, machine.sound_formats, machine.cores_and_memory)
    return [*(check() for check in checks), machine.gpu(params.machine.device)]


def _needed_extras(params: Params) -> list[str]:
    demo = ["demo"] if params.manifest.root == params.corpus.folder else []
    cluster = [params.machine.backend] if params.machine.backend != "loky" else []
    return ["pipeline", *demo, *cluster]


def _project(params: Params) -> list[Finding]:
    sections = ", ".join(type(params).model_fields)
    findings = [Finding("params.yaml", "ok", f"valid: {sections}"), _pipeline(), _interpreter()]
    findings += [tried(f"network {name}", functools.partial(_network, name)) for name in params.extract.networks]
    if params.extract.frontend:
        findings.append(tried("front end", functools.partial(_frontend, params.extract.frontend)))
    return [*findings, *data.findings(params)]


def _pipeline() -> Finding:
    """Whether dvc.yaml and its scripts are there, and are those of this version."""
    lacking, changed = [], []
    for name, text in pipeline_files().items():
        if name.startswith("networks/"):
            continue
        path = Path(name)
        if not path.is_file():
            lacking.append(name)
        elif path.read_text(encoding="utf-8", errors="replace") != text:
            changed.append(name)
    if lacking:
        remedy = "seedpipe init in an empty folder makes them: copy them from there"
        return Finding("pipeline", "missing", f"there is no {', '.join(lacking)}", remedy)
    if changed:
        remedy = "if you did not change them, they are of another version: copy them from a new 'seedpipe init'"
        return Finding("pipeline", "note", f"not as in this version: {', '.join(changed)}", remedy)
    return Finding("pipeline", "ok", "dvc.yaml, its scripts and DVC's configuration, as in this version")


def _interpreter() -> Finding:
    """Whether the commands in dvc.yaml would run under the Python that runs this."""
    found = shutil.which("python")
    if found and Path(found).parent.samefile(Path(sys.executable).parent):
        return Finding("python on PATH", "ok", found)
    remedy = f"before dvc repro, activate the environment: . {Path(sys.executable).parent / 'activate'}"
    return Finding("python on PATH", "note", f"{found or 'none'}, not {sys.executable}", remedy)


def _network(name: str) -> Finding:
    """Load a network of the project and compare what it gives with its self-test."""
    from seedpipe.networks import load_network, read_config, same_numbers, self_test

    place = ProjectPaths().network(name)
    network = load_network(place)
    text = f"{network.dimension}-d, fingerprint {network.fingerprint()[:16]}"
    if not Path(place).is_dir():
        found = f"{text}; it has no folder networks/{name}, which dvc.yaml names"
        return Finding(f"network {name}", "missing", found, f"seedpipe network add networks/{name} (docs/networks.md)")
    if not same_numbers(self_test(network), read_config(Path(place)).self_test):
        remedy = f"see what seedpipe network check {place} says"
        raise NetworkError("gives other numbers than when it was added", remedy=remedy, file=place)
    return Finding(f"network {name}", "ok", f"{text}, self-test as stored")


def _frontend(spec: str) -> Finding:
    from seedpipe.audio.frontends import load_frontend

    loaded = load_frontend(spec, 16_000)
    return Finding("front end", "ok", f"{spec}, fingerprint {loaded.fingerprint()[:16]}" if loaded else "none")
