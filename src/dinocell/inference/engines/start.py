"""Choose an engine, and open it: the one door to PyTorch, which it imports only where it is needed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from dinocell.errors import CheckpointError, InputError, MissingExtraError
from dinocell.extras import import_extra
from dinocell.inference.engines.engine import Engine
from dinocell.inference.engines.onnx_engine import OnnxEngine
from dinocell.inference.engines.openvino_engine import OpenVinoEngine
from dinocell.inference.settings import EngineName, InferenceSettings
from dinocell.machine import may_have_gpu
from dinocell.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    from dinocell.models.network.dinocell import DINOCell

AnyModel = Union[Checkpoint, "DINOCell"]
"""A model that an engine runs: one on disk, which it loads, or a network in memory."""


Used = tuple[str, str]
"""Engine and precision that a part of a run was made with, which the rest of it is made with as well."""


def open_engine(model: AnyModel, settings: InferenceSettings, resumed: Used | None = None) -> Engine:
    """Open the engine that runs a model.

    Parameters
    ----------
    model : Checkpoint or DINOCell
    settings : InferenceSettings
        Of these, ``engine`` (see `choose_engine`), ``device``, ``precision`` and ``compiled``.
    resumed : (str, str), optional
        Engine and precision of the part that is done, for what is ``auto``.

    Raises
    ------
    InputError
        If the engine cannot do what is asked for.
    MissingExtraError
        If the engine is not installed.
    CheckpointError
        If the files of the model are damaged.
    """
    if resumed is not None and settings.engine == "auto":
        return _open_again(model, settings, resumed)
    name = choose_engine(model, settings)
    if name == "torch":
        return _open_torch(model, settings)
    if settings.compiled:
        raise InputError(f"only engine torch is compiled, but the engine is {name}: leave one out")
    kind = OnnxEngine if name == "onnx" else OpenVinoEngine
    kind.check(settings)
    if settings.precision != "int8" and isinstance(model, Checkpoint) and model.graph is not None:
        return kind(model.graph, settings)
    return _open_exported(kind, model, settings)


def _open_again(model: AnyModel, settings: InferenceSettings, used: Used) -> Engine:
    """Open the engine that a part of a run was made with."""
    engine, precision = used
    if settings.precision != "auto":
        precision = settings.precision
    known = settings.model_copy(update={"engine": engine, "precision": precision})
    try:
        return open_engine(model, known)
    except (InputError, MissingExtraError) as error:
        raise type(error)(
            f"{error} (what is done so far was made with engine {engine} in {precision}; to go on with "
            "another, name one with --engine)"
        ) from error


def choose_engine(model: AnyModel, settings: InferenceSettings) -> EngineName:
    """Choose an engine by what is there, never by a measurement.

    ``auto`` is PyTorch for a network in memory and where a GPU is to be used, or what only PyTorch does;
    otherwise ONNX Runtime, if the model has a file for it.
    """
    if settings.engine != "auto":
        return settings.engine
    if settings.precision == "int8":
        return "onnx"
    if not isinstance(model, Checkpoint) or model.graph is None:
        return "torch"
    if settings.compiled or settings.precision == "bfloat16":
        return "torch"
    if settings.device == "auto":
        return "torch" if may_have_gpu() and _torch_sees_gpu() else "onnx"
    return "onnx" if settings.device == "cpu" else "torch"


def _torch_sees_gpu() -> bool:
    """Return whether PyTorch is installed and can use a GPU."""
    try:
        from dinocell.models.network.devices import choose_device
    except (ImportError, OSError, InputError):
        return False
    return choose_device().type != "cpu"


def _open_torch(model: AnyModel, settings: InferenceSettings) -> Engine:
    if isinstance(model, Checkpoint) and model.graph is None:
        why = f"model {model.config.variant!r} has no model.onnx, so it"
    else:
        why = "engine torch"
    import_extra("torch", extra="torch", purpose=why)
    from dinocell.inference.engines.torch_engine import TorchEngine

    return TorchEngine(model, settings)


def _open_exported(
    kind: type[OnnxEngine] | type[OpenVinoEngine], model: AnyModel, settings: InferenceSettings
) -> Engine:
    """Open an engine on a file that is made for it once, and again if it turns out to be damaged."""
    import_extra("torch", extra="torch", purpose=f"engine {kind.name} with a model that has no file for it")
    from dinocell.models.export.cache import exported_file, remake
    from dinocell.models.network.dinocell import DINOCell

    network = model if isinstance(model, DINOCell) else DINOCell.load(model)
    precision: Any = "int8" if settings.precision == "int8" else "float32"
    path: Path = exported_file(network, precision=precision)
    try:
        return kind(path, settings)
    except CheckpointError:
        return kind(remake(network, path, precision=precision), settings)
