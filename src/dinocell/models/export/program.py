"""Translation of a network into ONNX by PyTorch's exporter."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dinocell.errors import InputError
from dinocell.extras import import_extra
from dinocell.models.graph import FEATURES, INPUT, OUTPUT
from dinocell.models.network.dinocell import DINOCell, normalise

OPSET = 20

NETWORK = "model"
"""Name of the network in a program: its weights are named after it."""


class _TilesToMaps(nn.Module):
    """Gray tiles to distance maps, and to the feature maps where they are asked for."""

    def __init__(self, model: DINOCell, *, features: bool) -> None:
        super().__init__()
        self.add_module(NETWORK, model)
        self.features = features

    def forward(self, tiles: Tensor) -> tuple[Tensor, ...]:
        model: Any = self.get_submodule(NETWORK)
        x = normalise(tiles)
        maps = model.backbone(x)
        distance = torch.sigmoid(model(x, *maps))
        return (distance, *maps) if self.features else (distance,)


def export_program(model: DINOCell, *, features: bool, optimise: bool) -> Any:
    """Translate a network.

    Parameters
    ----------
    model : DINOCell
        Not changed, but for eval mode.
    features : bool
        Whether the feature maps are outputs as well.
    optimise : bool
        Whether the exporter computes in advance what it can; it may then join weights to new ones.

    Returns
    -------
    torch.onnx.ONNXProgram
        Without metadata.

    Raises
    ------
    InputError
        If the network cannot be translated.
    MissingExtraError
        If what exports is not installed.
    """
    for module in ("onnx", "onnxscript"):
        import_extra(module, extra="export", purpose="export")
    network = _TilesToMaps(model, features=features).eval()
    stride = model.stride
    shape = {
        0: torch.export.Dim("batch", min=1, max=2**16),
        1: stride * torch.export.Dim("rows", min=1, max=2**12),
        2: stride * torch.export.Dim("columns", min=1, max=2**12),
    }
    example = torch.zeros(2, 3 * stride, 5 * stride, dtype=torch.uint8, device=model.device)
    with quiet(), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                dynamic_shapes=(shape,),
                input_names=[INPUT],
                output_names=[OUTPUT, *(FEATURES if features else ())],
                opset_version=OPSET,
                optimize=optimise,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"model {model.config.variant!r} cannot be translated to ONNX ({reason}): "
                "use it with engine torch"
            ) from error
    forget_machine(program.model)
    return program


def forget_machine(program: Any) -> None:
    """Remove what the exporter notes of this machine."""
    program.metadata_props.clear()
    for node in program.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def widen(ir: Any, graph: Any, value: Any, stored: Any) -> None:
    """Store a weight of a graph in another tensor, of 16 bits, and widen it where it is used."""
    name = value.name
    del graph.initializers[name]
    short = ir.Value(name=name, shape=stored.shape, type=ir.TensorType(stored.dtype), const_value=stored)
    graph.register_initializer(short)
    cast = ir.node("Cast", [short], {"to": ir.DataType.FLOAT})
    cast.outputs[0].name = f"{name}.float32"
    value.replace_all_uses_with(cast.outputs[0])
    graph.insert_before(graph[0], cast)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep back what exporters say of their own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
