"""Networks in ONNX files, run by onnxruntime on one thread of the CPU.

Two forms of input are known: waveforms (B, T), and Kaldi filter banks (B, F, bins) with their mean over time removed,
as WeSpeaker and 3D-Speaker export them. The two toolkits differ in window and scale of the waveform.

Shapes: B waveforms, T samples, F frames, D embedding dimension.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seedpipe.errors import MissingExtraError, NetworkError
from seedpipe.files import StrPath
from seedpipe.networks.features import FRAME, HOP, KaldiFilterBanks
from seedpipe.networks.selftest import shortest_input

if TYPE_CHECKING:
    import onnxruntime

FEATURES: dict[str, dict[str, Any]] = {
    "waveform": {},
    "wespeaker": {"window": "hamming", "scale": 2.0**15},
    "3dspeaker": {"window": "povey", "scale": 1.0},
}
BINS = 80
LENGTHS = (400, 800, 1_600, 3_200, 8_000, 16_000, 32_000, 64_000)  # tried in turn to find the shortest input
SILENT = 4  # log level: fatal errors alone


class OnnxNetwork:
    """Waveforms (B, T) float32 in [-1, 1] at 16 kHz -> embeddings (B, D).

    Parameters
    ----------
    path : path
        One file that holds its weights.
    features : {'waveform', 'wespeaker', '3dspeaker'}, optional
        What the network is given. By default the rank of its input decides: waveforms for two axes, the filter banks of
        WeSpeaker for three.
    name : str, optional
        The stem of the file by default.

    Raises
    ------
    NetworkError
        The file is missing or damaged, or has inputs and outputs that are not understood.
    MissingExtraError
        onnxruntime is not installed.
    """

    sample_rate = 16_000

    def __init__(self, path: StrPath, features: str = "", name: str = "") -> None:
        path = Path(path)
        self.name = name or path.stem
        self._path = path
        self._session, self._digest = _open(path)
        self._input, shape = self._only_input()
        self.features = features or ("waveform" if len(shape) == 2 else "wespeaker")
        self._check_form(shape)
        self._output = self._only_output()
        self._batch, self._length = _fixed(shape[0]), _fixed(shape[1])
        self._banks = None
        if len(shape) == 3:
            self._banks = KaldiFilterBanks(_fixed(shape[2]) or BINS, **FEATURES[self.features])
        self.min_samples, self.dimension = self._probe()

    def fingerprint(self) -> str:
        """Digest of the file and of the features."""
        return hashlib.sha256(f"onnx:{self._digest}:{self.features}".encode()).hexdigest()

    def to(self, device: torch.device) -> OnnxNetwork:  # noqa: ARG002
        """Stay on the CPU; embeddings come back to the device of the waveforms."""
        return self

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        inputs = self._inputs(waveforms.detach().float().cpu())
        if self._length not in (None, inputs.shape[1]):
            unit = "samples" if self.features == "waveform" else "frames of 10 ms"
            raise NetworkError(
                f"the network {self.name} was given {inputs.shape[1]} {unit}",
                expected=f"exactly {self._length}, as it was exported",
                remedy="set crop_samples in params.yaml, or export it with a dynamic time axis",
            )
        return torch.from_numpy(self._run(inputs)).to(waveforms.device)

    def _inputs(self, waveforms: Tensor) -> NDArray[np.float32]:
        inputs: NDArray[np.float32] = (waveforms if self._banks is None else self._banks(waveforms)).numpy()
        return inputs

    def _run(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the session, in blocks filled up with copies where its batch axis is fixed."""
        size = self._batch or len(inputs)
        blocks = []
        for first in range(0, len(inputs), size):
            block = inputs[first : first + size]
            filled = np.concatenate((block, np.repeat(block[-1:], size - len(block), axis=0)))
            (embeddings,) = self._session.run([self._output], {self._input: filled})
            blocks.append(embeddings[: len(block)])
        return np.concatenate(blocks)

    def _only_input(self) -> tuple[str, list[int | str | None]]:
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            forms = ", ".join(f"{each.name} {each.type}" for each in inputs)
            raise self._refused(f"has the inputs {forms}", "one input of float32")
        return inputs[0].name, inputs[0].shape

    def _check_form(self, shape: list[int | str | None]) -> None:
        if self.features not in FEATURES:
            raise self._refused(f"cannot be given {self.features!r}", f"one of {', '.join(FEATURES)}")
        wanted = 2 if self.features == "waveform" else 3
        if len(shape) != wanted:
            form = " x ".join(map(str, shape))
            raise self._refused(f"has an input of {form} for {self.features}", "waveforms (B, T) or mels (B, F, bins)")

    def _only_output(self) -> str:
        outputs = [output.name for output in self._session.get_outputs() if len(output.shape or ()) == 2]
        if len(outputs) != 1:
            raise self._refused(f"has {len(outputs)} outputs with two axes", "one, the embeddings (B, D)")
        name: str = outputs[0]
        return name

    def _probe(self) -> tuple[int, int]:
        """Find the shortest waveform that gives finite values, among a few, and D."""
        lengths: tuple[int, ...] = LENGTHS
        if self._length is not None:
            lengths = (self._length if self.features == "waveform" else FRAME + HOP * (self._length - 1),)
        try:
            return shortest_input(self, lengths)
        except ValueError as error:
            reason = _first_line(error.__cause__ or error)
            raise self._refused(
                f"fails on {lengths[-1]} samples ({reason})", "embeddings (B, D) of finite values"
            ) from error

    def _refused(self, found: str, expected: str) -> NetworkError:
        return NetworkError(
            found, expected=expected, remedy="export the network again, see docs/networks.md", file=self._path
        )


def open_session(contents: bytes) -> onnxruntime.InferenceSession:
    """Make an ONNX graph ready to run on one thread of the CPU; it holds its weights, so a digest covers all that runs.

    Raises
    ------
    MissingExtraError
        onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "ONNX networks need onnxruntime, which is not installed", remedy='pip install "seedpipe[onnx]"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = SILENT
    # Without the fallback, which prints, and tries the same provider again.
    return onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def _open(path: Path) -> tuple[onnxruntime.InferenceSession, str]:
    try:
        contents = path.read_bytes()
    except (OSError, ValueError) as error:  # a name in network.json may hold a NUL
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise NetworkError(
            f"cannot be read ({reason})", expected="an ONNX file", remedy="check the path", file=path
        ) from error
    try:
        return open_session(contents), hashlib.sha256(contents).hexdigest()
    except MissingExtraError:
        raise
    except Exception as error:
        raise NetworkError(
            f"is no ONNX network that can be run ({len(contents):,} bytes; {_first_line(error)})",
            expected="one file that holds its weights",
            remedy="export it again: torch.onnx.export(..., external_data=False) writes one file",
            file=path,
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:160]


def _fixed(axis: int | str | None) -> int | None:
    """Length of an axis, or None where it is dynamic."""
    return axis if isinstance(axis, int) and axis > 0 else None
