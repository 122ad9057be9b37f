"""The network in OpenVINO, on CPUs."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.extras import import_extra
from dinocell.inference.engines.engine import Precision
from dinocell.inference.engines.exported import exported_file, remake
from dinocell.models.network.dinocell import DINOCell

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoEngine:
    """A model in OpenVINO.

    Parameters
    ----------
    model : DINOCell
        Exported once, see `dinocell.inference.engines.exported`.
    device : str
        ``auto`` or ``cpu``.
    precision : str
        ``auto`` or ``float32``, or ``bfloat16``, which OpenVINO takes only where the processor has it.

    Raises
    ------
    InputError
        If the device or the precision cannot be had.
    MissingExtraError
        If it is not installed.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, model: DINOCell, device: str = "auto", *, precision: Precision = "auto") -> None:
        if device not in ("auto", "cpu"):
            raise InputError(
                f"engine openvino runs on CPUs, but device is {device!r}: choose cpu or another engine"
            )
        if precision == "int8":
            raise InputError(
                "engine openvino computes in float32 or bfloat16, but precision is int8: choose onnx"
            )
        openvino = import_extra("openvino", extra="export", purpose="engine openvino")
        self.precision: Precision = "bfloat16" if precision == "bfloat16" else "float32"
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        path = exported_file(model, precision="float32")
        try:
            compiled = openvino.Core().compile_model(path, "CPU", settings)
        except RuntimeError:
            compiled = openvino.Core().compile_model(
                remake(model, path, precision="float32"), "CPU", settings
            )
        self._request: Any = compiled.create_infer_request()

    def forward(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Distance maps float32 ``(B, Y, X)`` in [0, 1] of 8-bit tiles ``(B, Y, X)``."""
        return np.array(self._request.infer({0: tiles})[0], np.float32)  # a copy: the next call writes there

    def release(self) -> None:
        """Do nothing: the runtime keeps its memory to itself."""
