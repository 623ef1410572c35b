"""Networks in SpeechBrain folders (``EncoderClassifier``), read from the disk alone.

The file ``hyperparams.yaml`` names Python classes that SpeechBrain makes: trust the folder as you trust a package.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seedpipe.errors import MissingExtraError, NetworkError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["SpeechBrainNetwork"]

SETTINGS = "hyperparams.yaml"
LENGTHS = (400, 800, 1_600, 3_200, 8_000, 16_000, 32_000)  # tried in turn to find the shortest input


class SpeechBrainNetwork:
    """Waveforms (B, T) float32 in [-1, 1] -> embeddings (B, D), as ``encode_batch`` gives them.

    Parameters
    ----------
    folder : Path
        With ``hyperparams.yaml`` and the files that its pretrainer names.
    name : str, optional
        The name of the folder by default.

    Raises
    ------
    NetworkError
        The folder is incomplete or damaged, or gives no embeddings.
    MissingExtraError
        SpeechBrain is not installed.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        self.name = name or folder.name
        self._encoder = _load(folder, _read_settings(folder))
        self._digest = _digest(folder)
        self.sample_rate = int(getattr(self._encoder.hparams, "sample_rate", 16_000))
        self.min_samples, self.dimension = self._probe(folder)

    def fingerprint(self) -> str:
        """Digest of the files in the folder, whatever SpeechBrain makes of them; texts for people do not count."""
        return self._digest

    def to(self, device: torch.device) -> SpeechBrainNetwork:
        """Move the weights."""
        self._encoder.to(device)
        self._encoder.device = str(device)
        return self

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Embed a batch.

        Parameters
        ----------
        waveforms : Tensor, shape (B, T)

        Returns
        -------
        Tensor, shape (B, D)
        """
        embeddings: Tensor = self._encoder.encode_batch(waveforms)
        return embeddings.flatten(1)

    def _probe(self, folder: Path) -> tuple[int, int]:
        """Find the shortest waveform that gives finite values, among a few, and D."""
        reason = "its values are not finite"
        for samples in LENGTHS:
            try:
                with torch.inference_mode():
                    embeddings = self(torch.sin(torch.arange(2 * samples) * 0.1).view(2, samples))
            except Exception as error:  # a padding that does not fit, and whatever else a model may raise
                reason = str(error).strip().splitlines()[0]
                continue
            if torch.isfinite(embeddings).all():
                return samples, embeddings.shape[1]
        raise NetworkError(f"fails on {LENGTHS[-1]} samples ({reason[:160]})", expected="embeddings", file=folder)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256(b"speechbrain")
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and path.suffix != ".md" and not any(part.startswith(".") for part in place.parts):
            with path.open("rb") as file:
                contents = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"\n{place.as_posix()} {contents}".encode())
    return digest.hexdigest()


def _read_settings(folder: Path) -> str:
    try:
        return (folder / SETTINGS).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise NetworkError(
            f"holds no readable {SETTINGS}",
            expected="the files of a SpeechBrain speaker recogniser",
            remedy="fetch the folder again",
            file=folder,
        ) from error


def _load(folder: Path, settings: str) -> Any:
    classifiers, fetching = _speechbrain()
    # Published settings name the place that they were published at; everything must come from this folder.
    own_place = {"pretrained_path": str(folder)} if re.search(r"^pretrained_path:", settings, re.MULTILINE) else {}
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SpeechBrain and what it imports, about their own future
        try:
            encoder = classifiers.EncoderClassifier.from_hparams(
                source=str(folder),
                savedir=scratch,
                overrides=own_place,
                run_opts={"device": "cpu"},
                local_strategy=fetching.LocalStrategy.NO_LINK,
                fetch_config=fetching.FetchConfig(allow_network=False),
            )
        except Exception as error:  # the settings may name any class
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise NetworkError(
                f"cannot be loaded by SpeechBrain ({reason[:200]})",
                expected=f"a folder with {SETTINGS} and the files that it names",
                remedy="try speechbrain.inference.EncoderClassifier.from_hparams in Python",
                file=folder,
            ) from error
        finally:
            _forget_placeholders()
    return encoder.eval().requires_grad_(False)


def _forget_placeholders() -> None:
    """Take SpeechBrain's lazy modules out of sys.modules: whoever looks through them would import what is not there."""
    for name, module in list(sys.modules.items()):
        if type(module).__module__ == "speechbrain.utils.importutils":
            del sys.modules[name]


def _speechbrain() -> tuple[ModuleType, ModuleType]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside SpeechBrain and what it imports
        try:
            from speechbrain.inference import classifiers
            from speechbrain.utils import fetching
        except ImportError as error:
            raise MissingExtraError(
                "SpeechBrain networks need speechbrain, which is not installed",
                remedy='pip install "seedpipe[speechbrain]"',
            ) from error
    return classifiers, fetching
