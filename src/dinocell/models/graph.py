"""The network as ONNX in a checkpoint: a graph without weights of its own.

``model.onnx`` holds the operations alone. Its weights are tensors of ``model.safetensors`` beside it, by
their place in that file, so that training and ONNX Runtime read the same bytes::

    model.onnx          Conv(x, weight "backbone.stem.0.0.weight": bytes 8,312 to 9,176 of model.safetensors)
    model.safetensors   header: names, shapes, dtypes, places | the tensors

The graph fits every file with the same header, whatever the values are: a network that learns on keeps its
graph. It records the hash of that header.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dinocell.errors import CheckpointError
from dinocell.machine import thread_count
from dinocell.models.checkpoint import GRAPH_FILE, WEIGHTS_FILE, weights_file
from dinocell.models.memory import is_out_of_memory

INPUT, OUTPUT = "tiles", "distance"
FEATURES = ("features_0", "features_1", "features_2", "features_3")
"""Outputs that are the feature maps of the backbone; who runs the graph names those that it wants."""

CPU = "CPUExecutionProvider"

HEADER_KEY = "weights_header"
"""Key of the header's hash in the metadata of a graph."""

# What a damaged header ends in.
_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)

_LENGTH = 8  # bytes that state the length of the header
_LONGEST_HEADER = 100_000_000  # safetensors' own bound

# Exponents of all ones stand for NaN and infinity.
_EXPONENTS = {"F16": (np.uint16, 0x7C00), "BF16": (np.uint16, 0x7F80), "F32": (np.uint32, 0x7F800000)}


class WeightsHeader:
    """Header of a file of weights.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file.

    Attributes
    ----------
    sha256 : str
        Of its bytes.
    start : int
        Where the tensors begin in the file, in bytes.
    tensors : dict
        ``dtype``, ``shape`` and ``data_offsets``, which count from `start`, by name.

    Raises
    ------
    CheckpointError
        If it is damaged.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(_LENGTH), "little")
                text = file.read(length) if length <= _LONGEST_HEADER else b""
            self.tensors: dict[str, Any] = json.loads(text)
            self.tensors.pop("__metadata__", None)
            end = max((tensor["data_offsets"][1] for tensor in self.tensors.values()), default=0)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            AttributeError,
            RecursionError,
        ) as error:
            raise _damaged(path, "its header cannot be read") from error
        self.sha256 = hashlib.sha256(text).hexdigest()
        self.start = _LENGTH + length
        if self.start + end != path.stat().st_size:
            raise _damaged(path, f"it has {path.stat().st_size} bytes, expected {self.start + end}")


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged or not safetensors ({why}). Copy or save the model again")


def check_weights(folder: Path) -> str:
    """Validate the weights beside a graph, which an engine reads without looking at them.

    Parameters
    ----------
    folder : Path
        Of a checkpoint.

    Returns
    -------
    str
        The hash of their header, which the graph must name.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged, or holds NaN or infinite values.
    """
    path = weights_file(folder)
    header = WeightsHeader(path)
    content = np.memmap(path, np.uint8, "r")
    for name, tensor in header.tensors.items():
        if not _is_finite(content[slice(*(header.start + at for at in tensor["data_offsets"]))], tensor):
            raise CheckpointError(
                f"{path} holds NaN, infinite or other unusable values ({name}), expected finite "
                "floating-point numbers: its training went astray or the file is damaged; take another "
                "checkpoint"
            )
    return header.sha256


def _is_finite(content: np.ndarray[Any, Any], tensor: dict[str, Any]) -> bool:
    """Return whether the bytes of a tensor are finite numbers of its shape, by their exponents."""
    if tensor["dtype"] not in _EXPONENTS:
        return False
    bits, exponent = _EXPONENTS[tensor["dtype"]]
    if content.size != math.prod(tensor["shape"]) * np.dtype(bits).itemsize:
        return False
    values = np.frombuffer(content, bits)
    return not bool(((values & exponent) == exponent).any())


def open_session(path: Path, *, threads: int | None = None, providers: Sequence[Any] = (CPU,)) -> Any:
    """Open a network in ONNX Runtime.

    Parameters
    ----------
    path : Path
        A graph of a checkpoint, or a file that holds its weights itself.
    threads : int, optional
        As many as the machine is to give, see `dinocell.machine.thread_count`, otherwise.
    providers : sequence
        What it computes with, the best first.

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    CheckpointError
        If the file is damaged, or the weights beside a graph are, or are those of another network.
    """
    import onnxruntime

    header = check_weights(path.parent) if path.name == GRAPH_FILE else None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or thread_count()
    options.log_severity_level = 3  # errors, which are raised as well
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except failures() as error:
        reason = str(error).splitlines()[0]
        if is_out_of_memory(RuntimeError(reason)):
            raise RuntimeError(reason) from error
        raise CheckpointError(f"{path} is damaged ({reason}): copy or save the model again") from error
    if header is not None and session.get_modelmeta().custom_metadata_map.get(HEADER_KEY) != header:
        raise CheckpointError(
            f"{path} is the graph of other weights than those of {WEIGHTS_FILE} beside it. Both must come "
            "from one save"
        )
    return session


def failures() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(
        kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)
    )
