"""The network in OpenVINO, on CPUs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.extras import import_extra
from dinocell.inference.engines.exported import exported_file, remake
from dinocell.inference.settings import InferenceSettings, Precision
from dinocell.models.network.dinocell import DINOCell
from dinocell.tiling import Tile

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoEngine:
    """A model in OpenVINO.

    Parameters
    ----------
    model : DINOCell
        Exported once, see `dinocell.inference.engines.exported`.
    settings : InferenceSettings
        Of these, ``device``: ``auto`` or ``cpu``; and ``precision``: ``auto`` or ``float32``, or
        ``bfloat16``, which OpenVINO takes only where the processor has it.

    Raises
    ------
    InputError
        If the device or the precision cannot be had.
    MissingExtraError
        If it is not installed.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, model: DINOCell, settings: InferenceSettings) -> None:
        if settings.device not in ("auto", "cpu"):
            raise InputError(
                f"engine openvino runs on CPUs, but device is {settings.device!r}: "
                "choose cpu or another engine"
            )
        if settings.precision == "int8":
            raise InputError(
                "engine openvino computes in float32 or bfloat16, but precision is int8: choose onnx"
            )
        openvino = import_extra("openvino", extra="export", purpose="engine openvino")
        self.precision: Precision = "bfloat16" if settings.precision == "bfloat16" else "float32"
        hints = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        path = exported_file(model, precision="float32")
        try:
            compiled = openvino.Core().compile_model(path, "CPU", hints)
        except RuntimeError:
            compiled = openvino.Core().compile_model(remake(model, path, precision="float32"), "CPU", hints)
        self._request: Any = compiled.create_infer_request()

    def forward(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return distance maps float32 ``(B, T, Y, X)`` in [0, 1] of 8-bit tiles ``(B, Y, X)``."""
        return np.array(self._request.infer({0: tiles})[0], np.float32)  # a copy: the next call writes there

    def open_map(self, gray: NDArray[np.uint8], tiles: Sequence[Tile], channels: Sequence[int]) -> None:
        """Return None: maps are put together by the processor."""

    def release(self) -> None:
        """Do nothing: the runtime keeps its memory to itself."""
