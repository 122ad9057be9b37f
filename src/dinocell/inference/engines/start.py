"""Open an engine by its name."""

from dinocell.errors import InputError
from dinocell.inference.engines.engine import Engine
from dinocell.inference.engines.torch_engine import TorchEngine
from dinocell.inference.settings import InferenceSettings
from dinocell.models.network.dinocell import DINOCell


def open_engine(model: DINOCell, settings: InferenceSettings) -> Engine:
    """Open the engine that runs a model.

    Parameters
    ----------
    model : DINOCell
        For ``onnx`` and ``openvino`` it is exported once, see `dinocell.inference.engines.exported`.
    settings : InferenceSettings
        Of these, ``engine``, ``device``, ``precision`` and ``compiled``.

    Raises
    ------
    InputError
        If the engine cannot do what is asked for.
    MissingExtraError
        If the engine is not installed.
    """
    if settings.engine == "torch":
        return TorchEngine(model, settings)
    if settings.compiled:
        raise InputError(f"only engine torch is compiled, but the engine is {settings.engine}: leave one out")
    if settings.engine == "onnx":
        from dinocell.inference.engines.onnx_engine import OnnxEngine

        return OnnxEngine(model, settings)
    from dinocell.inference.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(model, settings)
