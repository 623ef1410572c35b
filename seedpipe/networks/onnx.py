"""Networks in ONNX files, run by onnxruntime on one thread of the CPU, or on a GPU.

Two forms of input are known: waveforms (B, T), and Kaldi filter banks (B, F, bins) as WeSpeaker and 3D-Speaker make
them. The two toolkits differ in window and scale of the waveform; what a file says of its own input, as those of
sherpa-onnx do, decides (:mod:`seedpipe.networks.onnx_metadata`).

Shapes: B waveforms, T samples, F frames, D embedding dimension.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seedpipe.errors import MissingExtraError, NetworkError, counted, install, shortage
from seedpipe.files import StrPath, read_bytes
from seedpipe.networks.onnx_metadata import RATE, network_input
from seedpipe.networks.selftest import shortest_input

if TYPE_CHECKING:
    import onnxruntime

BINS = 80
MOST_BINS = 128
MOST_FIXED = (1_024, 2**24, 512)
"""Lengths of the axes that a file may fix: waveforms, samples (17 minutes) or frames, bins; it may claim any."""
LENGTHS = (400, 800, 1_600, 3_200, 8_000, 16_000, 32_000, 64_000)  # tried in turn to find the shortest input, at 16 kHz
CPU = torch.device("cpu")
CUDA = "CUDAExecutionProvider"
CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
LOG = logging.getLogger(__name__)
SILENT = 4  # log level: fatal errors alone


class OnnxNetwork:
    """Waveforms (B, T) float32 in [-1, 1] -> embeddings (B, D).

    Parameters
    ----------
    path : path
        One file that holds its weights.
    features : {'waveform', 'wespeaker', '3dspeaker', 'sherpa'}, optional
        What the network is given. By default what the file says, else the rank of its input decides: waveforms for two
        axes, the filter banks of WeSpeaker for three.
    sample_rate : int, optional
        Samples per second; by default what the file says, else 16,000.
    name : str, optional
        The stem of the file by default.

    Raises
    ------
    NetworkError
        The file is missing or damaged, has inputs and outputs that are not understood, or contradicts an argument.
    MissingExtraError
        onnxruntime is not installed.
    """

    def __init__(self, path: StrPath, features: str = "", name: str = "", sample_rate: int | None = None) -> None:
        path = Path(path)
        self.name = name or path.stem
        self.path = path
        self._session, self._digest = _open(path)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._input, shape = self._only_input(metadata.get("framework", ""))
        self.input = network_input(metadata, len(shape), features, sample_rate, path)
        self.sample_rate = self.input.sample_rate
        self._check_form(shape)
        self._output = self._only_output()
        self._batch, self._length = _fixed(shape[0]), _fixed(shape[1])
        self._banks = self.input.banks(_fixed(shape[-1]) or BINS)
        self.min_samples, self.dimension = self._probe()
        if self.input.output_dim not in (None, self.dimension):
            raise self._refused(
                f"says output_dim {self.input.output_dim} in its metadata", f"{self.dimension}, as its embeddings have"
            )

    @property
    def arguments(self) -> dict[str, str | int]:
        """What makes this network again, for ``network.json``: no later default decides."""
        return {"features": self.input.features, "sample_rate": self.sample_rate}

    def fingerprint(self) -> str:
        """Digest of the file and of the features."""
        return hashlib.sha256(f"onnx:{self._digest}:{self.input.key()}".encode()).hexdigest()

    def to(self, device: torch.device) -> OnnxNetwork:
        """Run on the CPU, or on a GPU where onnxruntime can; embeddings come back to the device of the waveforms."""
        if (device.type == "cuda") == (self._session.get_providers()[0] == CUDA):
            return self
        session, digest = _open(self.path, device)
        if digest != self._digest:
            raise self._refused("has changed since it was loaded", "the file as it was")
        if device.type == "cuda" and session.get_providers()[0] != CUDA:
            LOG.warning("%s stays on the CPU: onnxruntime has no %s (pip install onnxruntime-gpu)", self.name, CUDA)
        self._session = session
        return self

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D)."""
        inputs = self.inputs(waveforms.detach().float().cpu())
        if self._length not in (None, inputs.shape[1]):
            unit = "samples" if self._banks is None else "frames of 10 ms"
            raise NetworkError(
                f"the network {self.name} was given {inputs.shape[1]} {unit}",
                expected=f"exactly {self._length}, as it was exported",
                remedy="set crop_samples in params.yaml, or export it with a dynamic time axis",
            )
        return torch.from_numpy(self._run(inputs)).to(waveforms.device)

    def inputs(self, waveforms: Tensor) -> NDArray[np.float32]:
        """What the graph is given of waveforms (B, T) on the CPU."""
        given = waveforms * self.input.scale if self._banks is None else self._banks(waveforms)
        inputs: NDArray[np.float32] = given.numpy()
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

    def _only_input(self, framework: str) -> tuple[str, list[int | str | None]]:
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            forms = ", ".join(f"{each.name} {each.type}" for each in inputs)
            made = f" and says framework {framework!r} in its metadata" if framework else ""
            raise self._refused(f"has the inputs {forms}{made}", "one input of float32")
        return inputs[0].name, inputs[0].shape

    def _check_form(self, shape: list[int | str | None]) -> None:
        form = " x ".join(map(str, shape))
        if len(shape) != (2 if self.input.features == "waveform" else 3):
            wanted = "waveforms (B, T) or mels (B, F, bins)"
            raise self._refused(f"has an input of {form} for {self.input.features}", wanted)
        if any((_fixed(axis) or 0) > most for axis, most in zip(shape, MOST_FIXED, strict=False)):
            raise self._refused(f"has an input of {form}", f"at most {' x '.join(map(str, MOST_FIXED))}")
        if len(shape) == 3 and _fixed(shape[1]) == 1:
            raise self._refused(f"has an input of {form}, which is (B, channels, samples)", "waveforms (B, T)")
        if len(shape) == 3 and _bins_first(*map(_fixed, shape[1:])):
            raise self._transposed(form)

    def _only_output(self) -> str:
        outputs = [output.name for output in self._session.get_outputs() if len(output.shape or ()) == 2]
        if len(outputs) != 1:
            raise self._refused(f"has {counted(len(outputs), 'output')} with two axes", "one, the embeddings (B, D)")
        name: str = outputs[0]
        return name

    def _probe(self) -> tuple[int, int]:
        """Find the shortest waveform that gives finite values, among a few, and D."""
        lengths = tuple(samples * self.sample_rate // RATE for samples in LENGTHS)
        if self._length is not None:
            lengths = (self._length,)
            if self._banks is not None:
                lengths = (self._banks.shortest(self._length),)
        try:
            return shortest_input(self, lengths)
        except ValueError as error:
            if self._banks is not None and self._takes_bins_first(lengths[-1]):
                raise self._transposed("three axes") from error
            reason = _first_line(error.__cause__ or error)
            raise self._refused(
                f"fails on {lengths[-1]} samples ({reason})", "embeddings (B, D) of finite values"
            ) from error

    def _takes_bins_first(self, samples: int) -> bool:
        """Whether the network, whose axes have no lengths, takes filter banks (B, bins, frames)."""
        waveforms = torch.sin(torch.arange(2 * samples) * 0.1).view(2, samples)
        try:
            return bool(np.isfinite(self._run(np.ascontiguousarray(self.inputs(waveforms).swapaxes(1, 2)))).all())
        except Exception:  # whatever onnxruntime raises
            return False

    def _transposed(self, form: str) -> NetworkError:
        return self._refused(
            f"has an input of {form}, which are (B, bins, frames): frames and bins are transposed",
            "filter banks (B, frames, bins)",
        )

    def _refused(self, found: str, expected: str) -> NetworkError:
        return NetworkError(
            found, expected=expected, remedy="export the network again, see docs/networks.md", file=self.path
        )


def open_session(contents: bytes, device: torch.device = CPU) -> onnxruntime.InferenceSession:
    """Make an ONNX graph ready to run on one thread of the CPU, or on the GPU where onnxruntime has a way to it.

    The graph holds its weights, so a digest covers all that runs. On a GPU, algorithms are fixed and not chosen by
    time, and float32 is not rounded to TF32.

    Raises
    ------
    MissingExtraError
        onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "ONNX networks need onnxruntime, which is not installed", remedy=install("onnx")
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = SILENT
    providers: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
    if device.type == "cuda" and CUDA in onnxruntime.get_available_providers():
        options.use_deterministic_compute = True
        providers.insert(0, (CUDA, CUDA_OPTIONS | {"device_id": str(device.index or 0)}))
    # Without the fallback, which prints, and tries the same provider again.
    return onnxruntime.InferenceSession(contents, options, providers=providers, enable_fallback=0)


def _open(path: Path, device: torch.device = CPU) -> tuple[onnxruntime.InferenceSession, str]:
    try:
        contents = read_bytes(path)
    except (OSError, ValueError) as error:  # a name in network.json may hold a NUL
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise NetworkError(
            f"cannot be read ({reason})", expected="an ONNX file", remedy="check the path", file=path
        ) from error
    try:
        return open_session(contents, device), hashlib.sha256(contents).hexdigest()
    except MissingExtraError:
        raise
    except Exception as error:
        raise shortage(error) or NetworkError(
            f"is no ONNX network that can be run ({counted(len(contents), 'byte')}; {_first_line(error)})",
            expected="one file that holds its weights",
            remedy="export it again: torch.onnx.export(..., external_data=False) writes one file",
            file=path,
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:160]


def _bins_first(second: int | None, third: int | None) -> bool:
    """Whether the axes of filter banks are (bins, frames): more bins than there ever are, or 80 in the wrong place."""
    if second is None:
        return False
    return third is None or third > MOST_BINS or (second == BINS != third)


def _fixed(axis: int | str | None) -> int | None:
    """Length of an axis, or None where it is dynamic."""
    return axis if isinstance(axis, int) and axis > 0 else None
