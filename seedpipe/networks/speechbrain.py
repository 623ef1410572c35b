"""Networks in SpeechBrain folders (``EncoderClassifier``), read from the disk alone.

The file ``hyperparams.yaml`` is HyperPyYAML, which may name any Python code. Of it, only what speaker networks need is
read here: modules of :data:`PACKAGES`, references to other keys, and weights that lie in the folder.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pydoc
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from seedpipe.errors import MissingExtraError, NetworkError, install, shortage
from seedpipe.files import StrPath, file_digest, read_document
from seedpipe.networks.selftest import shortest_input

SETTINGS = "hyperparams.yaml"
MOST_BYTES = 2**20  # of the settings
MOST_LETTERS = 4096  # of a text with references, which may double at every step
PACKAGES = (
    "speechbrain.lobes.features.",
    "speechbrain.lobes.models.ECAPA_TDNN.",
    "speechbrain.lobes.models.ResNet.",
    "speechbrain.lobes.models.Xvector.",
    "speechbrain.nnet.",
    "speechbrain.processing.",
    "torch.nn.",
)
"""Where classes may come from; others of SpeechBrain download, write or unpickle when they are made."""
STEPS = ("compute_features", "mean_var_norm", "embedding_model")
LENGTHS = (400, 800, 1_600, 3_200, 8_000, 16_000, 32_000)  # tried in turn to find the shortest input


class SpeechBrainNetwork:
    """Waveforms (B, T) float32 in [-1, 1] -> embeddings (B, D), as ``encode_batch`` gives them.

    Parameters
    ----------
    folder : path
        With ``hyperparams.yaml`` and the files that its pretrainer names.
    name : str, optional
        The name of the folder by default.

    Raises
    ------
    NetworkError
        The folder is incomplete or damaged, names other code than modules of :data:`PACKAGES`, or gives no embeddings.
    MissingExtraError
        SpeechBrain is not installed.
    """

    def __init__(self, folder: StrPath, name: str = "") -> None:
        folder = Path(folder)
        self.name = name or folder.name
        text = _read_settings(folder)
        with _speechbrain(), _refused(folder):
            settings = _Settings(text, folder.resolve())
            self._steps = [step.eval().requires_grad_(False) for step in settings.steps()]
            self.sample_rate = settings.sample_rate()
        self._digest = _digest(folder)
        try:
            self.min_samples, self.dimension = shortest_input(self, LENGTHS)
        except ValueError as error:
            reason = _reason(error.__cause__) if error.__cause__ else error
            raise NetworkError(
                f"fails on {LENGTHS[-1]} samples ({reason})", expected="embeddings", file=folder
            ) from error

    def fingerprint(self) -> str:
        """Digest of the files in the folder, whatever SpeechBrain makes of them; texts for people do not count."""
        return self._digest

    def to(self, device: torch.device) -> SpeechBrainNetwork:
        """Move the weights."""
        for step in self._steps:
            step.to(device)
        return self

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        features, normalize, embed = self._steps
        lengths = torch.ones(len(waveforms), device=waveforms.device)  # of the longest one
        embeddings: Tensor = embed(normalize(features(waveforms), lengths), lengths)
        return embeddings.flatten(1)


class _Loader(yaml.SafeLoader):
    """HyperPyYAML without code of others, copies, arithmetic and aliases."""

    keys: dict[str, yaml.Node]
    """Values at the top, to refer to."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("aliases are not read")  # those of aliases make billions of values of ten lines
        return super().compose_node(parent, index)

    def reference(self, node: yaml.Node) -> object:
        """``<key>`` is what the key holds, ``<key>/name`` a text with it."""
        parts: list[Any] = re.split("<([^<>]*)>", node.value)
        parts[1::2] = values = [self.construct_object(self.keys[key], deep=True) for key in parts[1::2]]
        if len(values) == 1 and parts[0] == parts[2] == "":
            return values[0]
        text = "".join(map(str, parts)) if all(isinstance(part, str | int | float) for part in parts) else ""
        if not 0 < len(text) <= MOST_LETTERS:
            raise ValueError(f"{node.value} is no text of {MOST_LETTERS} letters at most")
        return text

    def numbers(self, node: yaml.Node) -> object:
        """``(3, 3)``."""
        return tuple(yaml.safe_load(f"[{node.value[1:-1]}]"))

    def module(self, name: str, node: yaml.Node) -> object:
        """A module."""
        return self.recipe(name, node)()

    def recipe(self, name: str, node: yaml.Node) -> Callable[[], object]:
        """The class of a module, with options to make it with."""
        arguments: Any = self.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else ()
        options: Any = self.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else {}
        return functools.partial(_class(name), *arguments, **options) if arguments or options else _class(name)


_Loader.add_constructor("!ref", _Loader.reference)
_Loader.add_constructor("!tuple", _Loader.numbers)
_Loader.add_multi_constructor("!new:", _Loader.module)
_Loader.add_multi_constructor("!name:", _Loader.recipe)
_Loader.add_implicit_resolver("!tuple", re.compile(r"\([-\d., ]*\)$"), ["("])
# HyperPyYAML is YAML 1.2, where 1e-5 is a number.
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


class _Settings:
    """The settings of a folder; only what embeddings come from is made."""

    def __init__(self, text: str, folder: Path) -> None:
        self.folder, self.loader = folder, _Loader(text)
        self.keys = self.loader.keys = _entries(self.loader.get_single_node())
        if "pretrained_path" in self.keys:  # where it was published; everything must come from this folder
            self.keys["pretrained_path"] = yaml.ScalarNode("tag:yaml.org,2002:str", str(folder))

    def steps(self) -> Iterator[nn.Module]:
        """The modules that embed, in turn, with their weights."""
        modules, pretrainer = _entries(self.keys["modules"]), _entries(self.keys["pretrainer"])
        loaded = {id(self._target(node)): name for name, node in _entries(pretrainer["loadables"]).items()}
        paths = self._made(pretrainer["paths"]) if "paths" in pretrainer else {}
        for step in STEPS:
            module = self._made(modules[step])
            if name := loaded.get(id(self._target(modules[step]))):
                _load(module, self._inside(paths.get(name, f"{name}.ckpt")))
            elif step == STEPS[-1]:
                raise ValueError(f"the pretrainer loads no weights of {step}")
            yield module

    def sample_rate(self) -> int:
        """In Hz."""
        rate = self._made(self.keys["sample_rate"]) if "sample_rate" in self.keys else 16_000
        if not isinstance(rate, int) or not 0 < rate < 2**31:
            raise ValueError(f"sample_rate is {rate!r}")
        return rate

    def _made(self, node: yaml.Node) -> Any:
        return self.loader.construct_object(node, deep=True)

    def _target(self, node: yaml.Node) -> yaml.Node:
        """What a reference refers to in the end."""
        whole = re.fullmatch("<([^<>]*)>", node.value) if node.tag == "!ref" else None
        return self._target(self.keys[whole[1]]) if whole else node

    def _inside(self, path: str) -> Path:
        place = Path(os.path.normpath(self.folder / path))
        if not place.is_relative_to(self.folder) or not place.is_file():
            raise ValueError(f"{path} is no file of the folder")
        return place


def _class(name: str) -> type[nn.Module]:
    kind = pydoc.locate(name) if name.startswith(PACKAGES) else None
    # A name may lead through what a file imports to any class: what counts is where the class was defined.
    if isinstance(kind, type) and issubclass(kind, nn.Module) and f"{kind.__module__}.".startswith(PACKAGES):
        return kind
    raise ValueError(f"{name} is none of the modules that are made")


def _entries(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise TypeError("a mapping is missing")
    return {key.value: value for key, value in node.value}


def _load(module: nn.Module, path: Path) -> None:
    from speechbrain.utils.checkpoints import DEFAULT_LOAD_HOOKS, get_default_hook

    # The hooks of a pretrainer would leave random what a file lacks.
    get_default_hook(module, DEFAULT_LOAD_HOOKS)(module, path, end_of_epoch=True)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256(b"speechbrain")
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and path.suffix != ".md" and not any(part.startswith(".") for part in place.parts):
            digest.update(f"\n{place.as_posix()} {file_digest(path)}".encode())
    return digest.hexdigest()


def _read_settings(folder: Path) -> str:
    try:
        return read_document(folder / SETTINGS, MOST_BYTES).decode()
    except (OSError, ValueError) as error:
        raise NetworkError(
            f"holds no readable {SETTINGS} ({getattr(error, 'strerror', None) or error})",
            expected="the files of a SpeechBrain speaker recogniser",
            remedy="fetch the folder again",
            file=folder,
        ) from error


@contextmanager
def _refused(folder: Path) -> Iterator[None]:
    """Turn whatever settings and modules may raise into our error."""
    try:
        yield
    except Exception as error:
        raise shortage(error) or NetworkError(
            f"cannot be loaded by SpeechBrain ({_reason(error)})",
            expected=f"a folder with {SETTINGS} and the files that it names",
            remedy="fetch it again, or wrap the network as package.module:factory",
            file=folder,
        ) from error


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@contextmanager
def _speechbrain() -> Iterator[None]:
    """Import SpeechBrain and let it be used, without its warnings about its own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import speechbrain  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "SpeechBrain networks need speechbrain, which is not installed",
                remedy=install("speechbrain"),
            ) from error
        try:
            yield
        finally:
            # Whoever looks through sys.modules would import what its lazy modules stand for, and is not there.
            for name, module in list(sys.modules.items()):
                if type(module).__module__ == "speechbrain.utils.importutils":
                    del sys.modules[name]
