"""The graph of a checkpoint, see `dinocell.models.graph`: made once for a design, and copied from then on."""

import hashlib
import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dinocell.errors import CheckpointError, InputError, OutputError
from dinocell.extras import import_extra
from dinocell.io.saving import atomic_path
from dinocell.machine import cache_folder
from dinocell.models.checkpoint import GRAPH_FILE, WEIGHTS_FILE, Checkpoint, read_config
from dinocell.models.configuration import ModelConfig
from dinocell.models.export.program import NETWORK, OPSET, export_program, widen
from dinocell.models.graph import HEADER_KEY, INPUT, OUTPUT, hash_header, open_session
from dinocell.models.network.backbone import published_name
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.version import __version__

logger = logging.getLogger(__name__)

_TYPES = {"F32": "FLOAT", "F16": "FLOAT16"}
"""Names of ONNX of the numbers that weights are stored in."""

_TOLERANCE = 1e-4


def write_graph(folder: Path) -> Path:
    """Write the graph of a checkpoint beside its weights.

    That takes ten seconds or more for a design that was never exported here, and moments for another.

    Parameters
    ----------
    folder : Path
        The checkpoint.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the network cannot be translated, or the translation computes something else.
    MissingExtraError
        If what exports is not installed.
    """
    config, weights, path = read_config(folder), folder / WEIGHTS_FILE, folder / GRAPH_FILE
    header = hash_header(weights)
    kept = cache_folder() / f"graph-{_digest(config, header)}.onnx"
    if kept.is_file():
        path.write_bytes(kept.read_bytes())
        with suppress(CheckpointError):  # what is kept is damaged
            open_session(path)
            return path
    logger.info("translating the network to ONNX, once for this design")
    model = DINOCell.load(Checkpoint(config, folder), fold=False)
    path.write_bytes(_make_graph(model, weights, header))
    _check_equal(model, path)
    _keep(path, kept)
    return path


def _digest(config: ModelConfig, header: str) -> str:
    """Hash all that decides about a graph."""
    parts = (
        __version__,
        torch.__version__,
        str(OPSET),
        config.backbone.model_dump_json(),
        config.decoder.model_dump_json(),
        header,
    )
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _make_graph(model: DINOCell, weights: Path, header: str) -> bytes:
    """Translate a network, and let each weight stand for its place in the file of weights."""
    start, stored = _places(weights)
    program = export_program(model, features=True, optimise=False).model
    ir = import_extra("onnx_ir", extra="export", purpose="export")
    prefix, graph = f"{NETWORK}.", program.graph
    for name, value in list(graph.initializers.items()):
        key = published_name(name.removeprefix(prefix))
        if name.startswith(prefix) and key in stored:
            _refer(ir, graph, value, stored[key], start)
    program.metadata_props.update({"dinocell": __version__, HEADER_KEY: header})
    serialised: bytes = ir.to_proto(program).SerializeToString()
    return serialised


def _places(weights: Path) -> tuple[int, dict[str, Any]]:
    """Read where tensors begin in a sound file, and dtype, shape and offsets from there of each."""
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 8 + length, json.loads(file.read(length))


def _refer(ir: Any, graph: Any, value: Any, tensor: dict[str, Any], start: int) -> None:
    """Replace the numbers of a weight by their place, and widen them to float32 where they are used."""
    if tensor["dtype"] not in _TYPES:
        raise InputError(f"weights are stored as {tensor['dtype']}, expected float32 or float16")
    stored = ir.DataType[_TYPES[tensor["dtype"]]]
    first, end = tensor["data_offsets"]
    place = ir.ExternalTensor(
        WEIGHTS_FILE, start + first, end - first, stored, shape=ir.Shape(tensor["shape"]), name=value.name
    )
    if stored == ir.DataType.FLOAT:
        value.const_value = place
        return
    widen(ir, graph, value, place)


def _check_equal(model: DINOCell, path: Path) -> None:
    """Raise if a graph does not compute what the network does, on noise."""
    side = 3 * model.stride
    tiles = np.random.default_rng(0).integers(0, 256, (2, side, side), np.uint8)
    with torch.inference_mode():
        expected = torch.sigmoid(model(normalise(torch.from_numpy(tiles)))).numpy()
    found = open_session(path).run([OUTPUT], {INPUT: tiles})[0]
    difference = float(np.abs(found - expected).max())
    if not difference <= _TOLERANCE:
        path.unlink()
        raise InputError(
            f"model {model.config.variant!r} computes other maps as ONNX, by up to {difference:.2g}, "
            f"expected at most {_TOLERANCE:g}: use it with engine torch"
        )


def _keep(path: Path, kept: Path) -> None:
    """Copy a graph into the cache; it is no loss if that cannot be written."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(kept) as temporary:
            shutil.copyfile(path, temporary)
    except (OSError, OutputError) as error:
        logger.info("%s is not kept: %s", kept, error)
