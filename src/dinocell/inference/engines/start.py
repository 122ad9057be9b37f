"""Open an engine by its name."""

from dinocell.errors import InputError
from dinocell.inference.engines.engine import ENGINES, PRECISIONS, Engine, Precision
from dinocell.inference.engines.torch_engine import TorchEngine
from dinocell.models.network.dinocell import DINOCell


def open_engine(
    model: DINOCell,
    *,
    engine: str = "torch",
    device: str = "auto",
    precision: Precision = "auto",
    compiled: bool = False,
) -> Engine:
    """Open the engine that runs a model.

    Parameters
    ----------
    model : DINOCell
        For ``onnx`` and ``openvino`` it is exported once, see `dinocell.inference.engines.exported`.
    engine : str
        One of `ENGINES`.
    device : str
        ``auto``, or a device that the engine knows.
    precision : str
        One of `PRECISIONS`.
    compiled : bool
        See `dinocell.inference.engines.torch_engine.TorchEngine`; for ``torch`` alone.

    Raises
    ------
    InputError
        If there is no such engine, or it cannot do what is asked for.
    MissingExtraError
        If the engine is not installed.
    """
    if engine not in ENGINES:
        raise InputError(f"engine is {engine!r}, expected one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    if engine == "torch":
        return TorchEngine(model, device, precision=precision, compiled=compiled)
    if compiled:
        raise InputError(f"only engine torch is compiled, but the engine is {engine}: leave one out")
    if engine == "onnx":
        from dinocell.inference.engines.onnx_engine import OnnxEngine

        return OnnxEngine(model, device, precision=precision)
    from dinocell.inference.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(model, device, precision=precision)
