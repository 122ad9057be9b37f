"""The network in ONNX Runtime: on CPUs, and on GPUs where a build of it for them is installed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.inference.settings import InferenceSettings, Precision
from dinocell.machine import cache_folder, shared_threads, thread_count
from dinocell.models.graph import CPU, FEATURES, INPUT, OUTPUT, failures, open_session
from dinocell.tiling import Tile

MOST_PASSES = 8
"""Passes that run at once, at most; more of them would wait for each other's work in Python."""


class OnnxEngine:
    """A model in ONNX Runtime.

    Parameters
    ----------
    path : Path
        The graph of a checkpoint, or an exported file.
    settings : InferenceSettings
        Of these, ``device``: ``auto``, ``cpu`` or ``cuda``, where TensorRT comes first if it is installed;
        and ``precision``: ``int8`` says that the file has it, anything else is float32.

    Raises
    ------
    InputError
        If the device or the precision cannot be had.
    CheckpointError
        If the file is damaged.
    """

    name = "onnx"

    def __init__(self, path: Path, settings: InferenceSettings) -> None:
        import onnxruntime

        self.check(settings)
        self.precision: Precision = "int8" if settings.precision == "int8" else "float32"
        providers = _providers(onnxruntime.get_available_providers(), settings.device)
        self._path, self._session = path, open_session(path, providers=providers)
        self._failures = failures()
        self.device = "cpu" if self._session.get_providers()[0] == CPU else "cuda"
        if self.device == "cpu" and settings.device.startswith("cuda"):
            raise InputError(
                "onnxruntime has CUDA but cannot use it here: check the driver and the versions of CUDA and "
                "cuDNN, or choose device cpu"
            )

    @staticmethod
    def check(settings: InferenceSettings) -> None:
        """Raise InputError for what it cannot do, before a file is made for it."""
        if settings.precision == "bfloat16":
            raise InputError(
                "engine onnx computes in float32 or int8, but precision is bfloat16: choose torch or openvino"
            )
        kind, _, index = settings.device.partition(":")
        if kind not in ("auto", "cpu", "cuda") or not (index or "0").isdecimal():
            raise InputError(
                f"engine onnx knows the devices auto, cpu and cuda, but device is {settings.device!r}"
            )

    def forward(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return distance maps float32 ``(B, T, Y, X)`` in [0, 1] of 8-bit tiles ``(B, Y, X)``."""
        return self._run([OUTPUT], tiles)[0]

    def features(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return the four feature maps float32 ``(B, C, Y / s, X / s)`` of 8-bit tiles ``(B, Y, X)``."""
        if len(self._session.get_outputs()) == 1:
            raise InputError(
                "this exported file has no feature maps: save the model again, or choose engine torch"
            )
        return tuple(self._run(FEATURES, tiles))

    def _run(self, outputs: Sequence[str], tiles: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        try:
            return [np.asarray(one, np.float32) for one in self._session.run(outputs, {INPUT: tiles})]
        except self._failures as error:  # no RuntimeError, which other engines raise when memory is short
            raise RuntimeError(str(error)) from error

    def open_map(self, gray: NDArray[np.uint8], tiles: Sequence[Tile], channels: Sequence[int]) -> None:
        """Return None: maps are put together by the processor."""

    @contextmanager
    def side_by_side(self) -> Iterator[int]:
        """Divide the threads of the processor among passes within a ``with`` block, as `Engine` says."""
        passes = min(MOST_PASSES, thread_count())
        if self.device != "cpu" or passes == 1:
            yield 1
            return
        with shared_threads(passes):
            before, self._session = self._session, open_session(self._path)
            try:
                yield passes
            finally:
                self._session = before

    def release(self) -> None:
        """Do nothing: the runtime keeps its memory to itself."""


def _providers(available: list[str], device: str) -> list[Any]:
    """Choose what the runtime computes with, the best first."""
    kind, _, index = device.partition(":")
    chosen: list[Any] = [CPU]
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
