"""The network in OpenVINO, on CPUs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import CheckpointError, InputError
from dinocell.extras import import_extra
from dinocell.inference.settings import InferenceSettings, Precision
from dinocell.machine import thread_count
from dinocell.models.checkpoint import GRAPH_FILE
from dinocell.models.graph import FEATURES, OUTPUT, check_weights
from dinocell.tiling import Tile

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoEngine:
    """A model in OpenVINO.

    Parameters
    ----------
    path : Path
        The graph of a checkpoint, or an exported file.
    settings : InferenceSettings
        Of these, ``device``: ``auto`` or ``cpu``; and ``precision``: ``auto`` or ``float32``, or
        ``bfloat16``, which OpenVINO takes only where the processor has it.

    Raises
    ------
    InputError
        If the device or the precision cannot be had.
    MissingExtraError
        If it is not installed.
    CheckpointError
        If the file is damaged.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, path: Path, settings: InferenceSettings) -> None:
        self.check(settings)
        openvino = import_extra("openvino", extra="openvino", purpose="engine openvino")
        self.precision: Precision = "bfloat16" if settings.precision == "bfloat16" else "float32"
        hints = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": thread_count(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        if path.name == GRAPH_FILE:
            check_weights(path.parent)
        try:
            compiled = openvino.Core().compile_model(path, "CPU", hints)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise CheckpointError(f"{path} is damaged ({reason}): copy or save the model again") from error
        self._names = [output.any_name for output in compiled.outputs]
        self._request: Any = compiled.create_infer_request()

    @staticmethod
    def check(settings: InferenceSettings) -> None:
        """Raise InputError for what it cannot do, before a file is made for it."""
        if settings.device not in ("auto", "cpu"):
            raise InputError(
                f"engine openvino runs on CPUs, but device is {settings.device!r}: "
                "choose cpu or another engine"
            )
        if settings.precision == "int8":
            raise InputError(
                "engine openvino computes in float32 or bfloat16, but precision is int8: choose onnx"
            )

    def forward(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return distance maps float32 ``(B, T, Y, X)`` in [0, 1] of 8-bit tiles ``(B, Y, X)``."""
        return self._run([OUTPUT], tiles)[0]

    def features(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return the four feature maps float32 ``(B, C, Y / s, X / s)`` of 8-bit tiles ``(B, Y, X)``."""
        return tuple(self._run(FEATURES, tiles))

    def _run(self, outputs: Sequence[str], tiles: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        found = self._request.infer({0: tiles})
        return [
            np.array(found[self._names.index(name)], np.float32) for name in outputs
        ]  # copies: the next call writes there

    def open_map(self, gray: NDArray[np.uint8], tiles: Sequence[Tile], channels: Sequence[int]) -> None:
        """Return None: maps are put together by the processor."""

    def side_by_side(self) -> AbstractContextManager[int]:
        """Return a block of 1: passes run one after the other."""
        return nullcontext(1)

    def release(self) -> None:
        """Do nothing: the runtime keeps its memory to itself."""
