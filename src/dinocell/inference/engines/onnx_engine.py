"""The network in ONNX Runtime: on CPUs, and on GPUs where a build of it for them is installed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.extras import import_extra
from dinocell.inference.engines.exported import cache_folder, exported_file, remake
from dinocell.inference.settings import InferenceSettings, Precision
from dinocell.models.export import INPUT, Exported
from dinocell.models.network.dinocell import DINOCell
from dinocell.tiling import Tile

PURPOSE = "engine onnx"


class OnnxEngine:
    """A model in ONNX Runtime.

    Parameters
    ----------
    model : DINOCell
        Exported once, see `dinocell.inference.engines.exported`.
    settings : InferenceSettings
        Of these, ``device``: ``auto``, ``cpu`` or ``cuda``, where TensorRT comes first if it is
        installed; and ``precision``: ``auto``, ``float32`` or ``int8``.

    Raises
    ------
    InputError
        If the device or the precision cannot be had.
    MissingExtraError
        If it is not installed.
    """

    name = "onnx"

    def __init__(self, model: DINOCell, settings: InferenceSettings) -> None:
        device = settings.device
        if settings.precision == "bfloat16":
            raise InputError(
                "engine onnx computes in float32 or int8, but precision is bfloat16: choose torch or openvino"
            )
        self._runtime = import_extra("onnxruntime", extra="export", purpose=PURPOSE)
        providers = _providers(self._runtime.get_available_providers(), device)
        kept: Exported = "int8" if settings.precision == "int8" else "float32"
        self.precision: Precision = kept
        path = exported_file(model, precision=kept)
        errors = self._runtime.capi.onnxruntime_pybind11_state
        self._failure = errors.RuntimeException
        try:
            self._session = self._open(path, providers)
        except (errors.InvalidProtobuf, errors.Fail, errors.InvalidGraph, errors.NoSuchFile):
            self._session = self._open(remake(model, path, precision=kept), providers)
        self.device = "cpu" if self._session.get_providers()[0].startswith("CPU") else "cuda"
        if self.device == "cpu" and device.startswith("cuda"):
            raise InputError(
                "onnxruntime has CUDA but cannot use it here: check the driver and the versions of CUDA and "
                "cuDNN, or choose device cpu"
            )

    def _open(self, path: Path, providers: list[Any]) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors, which are raised as well
        return self._runtime.InferenceSession(str(path), options, providers=providers)

    def forward(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return distance maps float32 ``(B, T, Y, X)`` in [0, 1] of 8-bit tiles ``(B, Y, X)``."""
        try:
            return np.asarray(self._session.run(None, {INPUT: tiles})[0], np.float32)
        except self._failure as error:  # no RuntimeError, which other engines raise when memory is short
            raise RuntimeError(str(error)) from error

    def open_map(self, gray: NDArray[np.uint8], tiles: Sequence[Tile], channels: Sequence[int]) -> None:
        """Return None: maps are put together by the processor."""

    def release(self) -> None:
        """Do nothing: the runtime keeps its memory to itself."""


def _providers(available: list[str], device: str) -> list[Any]:
    """Choose what the runtime computes with, the best first."""
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or not (index or "0").isdecimal():
        raise InputError(f"engine onnx knows the devices auto, cpu and cuda, but device is {device!r}")
    chosen: list[Any] = ["CPUExecutionProvider"]
    if kind == "cpu":
        return chosen
    number = {"device_id": int(index or 0)}
    if "CUDAExecutionProvider" in available:
        chosen.insert(0, ("CUDAExecutionProvider", number))
    if "TensorrtExecutionProvider" in available:
        cache = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache_folder() / "tensorrt")}
        chosen.insert(0, ("TensorrtExecutionProvider", number | cache | {"trt_fp16_enable": True}))
    if kind == "cuda" and len(chosen) == 1:
        raise InputError(
            "this onnxruntime has no CUDA: pip install onnxruntime-gpu in its place, or choose device cpu"
        )
    return chosen
