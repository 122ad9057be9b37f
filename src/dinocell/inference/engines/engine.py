"""The contract of all engines."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

ENGINES = ("torch", "onnx", "openvino")

Precision = Literal["auto", "float32", "bfloat16", "int8"]
"""What a network computes with; ``auto``: bfloat16 on CUDA, else float32; ``int8``: in its linear layers."""

PRECISIONS = ("auto", "float32", "bfloat16", "int8")


class Engine(Protocol):
    """Runs a network over tiles.

    Attributes
    ----------
    name : str
        One of `ENGINES`.
    """

    name: str

    @property
    def device(self) -> str:
        """Where it runs, as results name it: ``cpu``, ``cuda``, ``cuda:1``."""

    @property
    def precision(self) -> Precision:
        """What it computes with; never ``auto``."""

    def forward(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Distance maps float32 ``(B, Y, X)`` in [0, 1] of 8-bit tiles ``(B, Y, X)``."""

    def release(self) -> None:
        """Give memory that is kept for later back."""
