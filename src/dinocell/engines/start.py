"""Open an engine by its name."""

from dinocell.engines.engine import ENGINES, Engine
from dinocell.errors import InputError
from dinocell.model import DINOCell


def open_engine(
    model: DINOCell,
    *,
    engine: str = "torch",
    device: str = "auto",
    int8: bool = False,
    compiled: bool = False,
) -> Engine:
    """Open the engine that runs a model.

    Parameters
    ----------
    model : DINOCell
    engine : str
        One of `ENGINES`.
    device : str
        ``auto``, or a device that the engine knows.
    int8 : bool
        Weights of 8 bits, for the engines that run exported models.
    compiled : bool
        See `dinocell.engines.torch_engine.TorchEngine`; for torch alone.

    Raises
    ------
    InputError
        If there is no such engine, or it cannot do what is asked for.
    """
    if engine not in ENGINES:
        raise InputError(f"engine is {engine!r}, expected one of {', '.join(ENGINES)}")
    from dinocell.engines.torch_engine import TorchEngine

    return TorchEngine(model, device, compiled=compiled)
