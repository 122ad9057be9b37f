"""The network as ONNX in a checkpoint: a graph without weights of its own.

``model.onnx`` holds the operations alone. Its weights are tensors of ``model.safetensors`` beside it, by
their place in that file, so that training and ONNX Runtime read the same bytes::

    model.onnx          Conv(x, weight "backbone.stem.0.0.weight": bytes 8,312 to 9,176 of model.safetensors)
    model.safetensors   header: names, shapes, dtypes, places | the tensors

The graph fits every file with the same header, whatever the values are: a network that learns on keeps its
graph. It records the hash of that header.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from dinocell.errors import CheckpointError, name_few
from dinocell.io.hashes import hash_content
from dinocell.machine import thread_count
from dinocell.models.checkpoint import GRAPH_FILE, WEIGHTS_FILE, weights_file
from dinocell.models.clicks import CLICK_FILE
from dinocell.models.memory import is_out_of_memory

INPUT, OUTPUT = "tiles", "distance"
FEATURES = ("features_0", "features_1", "features_2", "features_3")
"""Outputs that are the feature maps of the backbone; who runs the graph names those that it wants."""

CPU = "CPUExecutionProvider"

HEADER_KEY = "weights_header"
"""Key of the header's hash in the metadata of a graph."""

WEIGHTS_KEY = "weights"
"""Key of the hash of the weights in the metadata of a decoder of clicks."""

_LENGTH = 8  # bytes that state the length of the header of the weights


def hash_header(weights: Path) -> str:
    """Compute the SHA-256 of the header of a ``.safetensors`` file: of names, shapes, dtypes and places."""
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        return hashlib.sha256(file.read(length)).hexdigest()


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
    try:
        with safe_open(path, "numpy") as weights:
            names = list(weights.keys())
            unusable = [name for name in names if not np.isfinite(weights.get_tensor(name)).all()]
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: numbers that NumPy does not know
        raise CheckpointError(
            f"{path} is damaged or not safetensors ({error}). Copy or save the model again"
        ) from error
    if unusable:
        raise CheckpointError(
            f"{path} holds NaN or infinite values ({name_few(unusable)}), expected finite numbers: its "
            "training went astray or the file is damaged; take another checkpoint"
        )
    return hash_header(path)


def open_session(path: Path, *, providers: Sequence[Any] = (CPU,)) -> Any:
    """Open a network in ONNX Runtime.

    Parameters
    ----------
    path : Path
        A graph of a checkpoint, or a file that holds its weights itself.
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
    options.intra_op_num_threads = thread_count()
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


def open_clicks(folder: Path) -> Any:
    """Open the decoder of clicks of a checkpoint in ONNX Runtime.

    Parameters
    ----------
    folder : Path
        Of the checkpoint.

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    CheckpointError
        If the file is damaged, or was trained on the features of other weights.
    """
    path = folder / CLICK_FILE
    session = open_session(path)
    if session.get_modelmeta().custom_metadata_map.get(WEIGHTS_KEY) != hash_content(weights_file(folder)):
        raise CheckpointError(
            f"{path} was trained on the features of other weights than those of {WEIGHTS_FILE} beside it. "
            "Remove it, or copy both from one model"
        )
    return session


def failures() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(
        kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)
    )
