"""The decoder of clicks as ONNX: one file beside the graph of a checkpoint, with weights of 16 bits."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dinocell.errors import InputError
from dinocell.extras import import_extra
from dinocell.io.hashes import hash_content
from dinocell.io.saving import atomic_path
from dinocell.models.checkpoint import weights_file
from dinocell.models.clicks import CELL, CLICK_FILE, CLICKS, click_maps
from dinocell.models.export.program import OPSET, forget_machine, quiet, widen
from dinocell.models.graph import FEATURES, INPUT, WEIGHTS_KEY, open_clicks
from dinocell.models.network.click_decoder import ClickDecoder
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.version import __version__

_LARGE = 64
"""Numbers of a weight from which on it is stored in 16 bits."""

_TOLERANCE = 0.02
"""Of probabilities: weights are rounded to 11 bits."""


class _ClicksToCell(nn.Module):
    """Gray tiles, their feature maps and click maps to the probability of the clicked cell."""

    def __init__(self, decoder: ClickDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tiles: Tensor, maps: tuple[Tensor, ...], clicks: Tensor) -> Tensor:
        return torch.sigmoid(self.decoder(normalise(tiles), maps, clicks))[:, 0]


def write_click_graph(model: DINOCell, decoder: ClickDecoder, folder: Path) -> Path:
    """Write the decoder of clicks into the folder of a checkpoint.

    Parameters
    ----------
    model : DINOCell
        Whose features it was trained on.
    decoder : ClickDecoder
    folder : Path
        Holds the weights of the model, by whose hash the file knows what it belongs to.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the file computes something else than the decoder.
    MissingExtraError
        If what exports is not installed.
    """
    for module in ("onnx", "onnxscript"):
        import_extra(module, extra="export", purpose="export")
    ir = import_extra("onnx_ir", extra="export", purpose="export")
    network, example = _ClicksToCell(decoder.cpu().eval()).eval(), _example(model, 3, 5)
    stride = model.stride
    sides = {
        1: stride * torch.export.Dim("rows", max=2**7),
        2: stride * torch.export.Dim("columns", max=2**7),
    }
    maps = tuple({2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO} for _ in FEATURES)
    clicks = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    with quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            network,
            example,
            dynamo=True,
            dynamic_shapes=(sides, maps, clicks),
            input_names=[INPUT, *FEATURES, CLICKS],
            output_names=[CELL],
            opset_version=OPSET,
            verbose=False,
        )
    forget_machine(program.model)
    _shorten(ir, program.model.graph)
    weights = hash_content(weights_file(folder))
    program.model.metadata_props.update({"dinocell": __version__, WEIGHTS_KEY: weights})
    path = folder / CLICK_FILE
    with atomic_path(path) as temporary:
        temporary.write_bytes(ir.to_proto(program.model).SerializeToString())
    _check_equal(network, model, path)
    return path


def _example(model: DINOCell, rows: int, columns: int) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
    """Return gray noise with its feature maps, and clicks on it."""
    shape = (rows * model.stride, columns * model.stride)
    gray = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    tiles = torch.from_numpy(gray)
    with torch.inference_mode():
        maps = tuple(each.clone() for each in model.cpu().eval().backbone(normalise(tiles)))
    clicks = click_maps([(shape[0] // 2, shape[1] // 2)], [(3, 4)], gray[0] > 250)
    return tiles, maps, torch.from_numpy(clicks[None])


def _shorten(ir: Any, graph: Any) -> None:
    """Store large weights in 16 bits, and widen them where they are used."""
    for name, value in list(graph.initializers.items()):
        array = value.const_value.numpy()
        if array.dtype != np.float32 or array.size < _LARGE:
            continue
        widen(ir, graph, value, ir.Tensor(array.astype(np.float16), name=name))


def _check_equal(network: nn.Module, model: DINOCell, path: Path) -> None:
    """Raise if the file does not compute what the decoder does, at another size than it was made at."""
    tiles, maps, clicks = _example(model, 4, 4)
    with torch.inference_mode():
        expected = network(tiles, maps, clicks).numpy()
    named = dict(zip(FEATURES, (each.numpy() for each in maps), strict=True))
    inputs = {INPUT: tiles.numpy(), CLICKS: clicks.numpy(), **named}
    found = open_clicks(path.parent).run([CELL], inputs)[0]
    difference = float(np.abs(found - expected).max())
    if not difference <= _TOLERANCE:
        path.unlink()
        raise InputError(
            f"the decoder of clicks differs as ONNX by up to {difference:.2g}, expected at most "
            f"{_TOLERANCE:g}"
        )
