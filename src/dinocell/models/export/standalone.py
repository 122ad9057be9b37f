"""A model as an ONNX file: gray tiles in, distance maps out, so that any runtime can use it."""

import json
import tempfile
from pathlib import Path
from typing import Literal

from torch import nn

from dinocell.errors import InputError, OutputError
from dinocell.extras import import_extra
from dinocell.models.export.program import export_program, quiet
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS
from dinocell.version import __version__

Exported = Literal["float32", "int8"]
"""Numbers that an exported file computes with."""

ONE_FILE = 1.8e9
"""Bytes of weights that still go into the ONNX file itself, which cannot hold more than 2 GiB."""


def export_onnx(model: DINOCell, path: str | Path, *, precision: Exported = "float32") -> Path:
    """Write a model as an ONNX file.

    Its input ``tiles`` is uint8 ``(B, Y, X)``, preprocessed grayscale, Y and X multiples of the model's
    stride; its output ``distance`` is float32 ``(B, T, Y, X)`` in [0, 1], a map a target. Any B, Y and X do.
    What else is needed to use it is in the file's metadata: stride, tile size, overlap, preprocessing,
    licence, and the targets in the order of the maps, with their thresholds.

    Parameters
    ----------
    model : DINOCell
        Not changed, but for eval mode.
    path : str or Path
        Ends in ``.onnx``; replaced. Weights of more than `ONE_FILE` bytes go to a second file, ``PATH.data``.
    precision : {"float32", "int8"}
        ``int8`` keeps the weights of linear layers in 8 bits and multiplies with these; convolutions stay.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the name ends otherwise, or the model has no linear layers to keep in 8 bits.
    OutputError
        If the file cannot be written.
    MissingExtraError
        If the extra ``export`` is not installed.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise InputError(f"{path} ends in {path.suffix or 'nothing'}, expected a name ending in .onnx")
    if precision == "int8" and not any(isinstance(part, nn.Linear) for part in model.modules()):
        raise InputError(
            f"model {model.config.variant!r} is made of convolutions, which 8 bits make no faster: "
            "choose precision float32, or bfloat16 with engine torch or openvino"
        )
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.tmp-") as folder:
            whole = Path(folder, "float32", path.name)
            whole.parent.mkdir()
            _write(model, whole)
            done = whole if precision == "float32" else _quantise(whole, Path(folder, path.name))
            _move(done, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): choose another place") from error
    return path


def _move(source: Path, target: Path) -> None:
    """Move an export into place, its weights first; weights of an earlier one do not stay behind."""
    files = exported_files(source)
    for file in reversed(files):
        file.replace(target.with_name(file.name))
    if len(files) == 1:
        target.with_name(f"{target.name}.data").unlink(missing_ok=True)


def _write(model: DINOCell, path: Path) -> None:
    program = export_program(model, features=False, optimise=True)
    program.model.metadata_props.update(_describe(model))
    size = sum(part.numel() * part.element_size() for part in model.parameters())
    program.save(path, external_data=size > ONE_FILE)


def _describe(model: DINOCell) -> dict[str, str]:
    """Return the metadata of a file: what its user needs to know."""
    config = model.config
    described = config.model_dump(mode="json", exclude={"training", "backbone", "decoder"})
    licence = VARIANTS[config.variant].licence if config.variant in VARIANTS else "that of its backbone"
    texts = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in described.items()
    }
    return texts | {"dinocell": __version__, "licence": licence, "stride": str(model.stride)}


def _quantise(source: Path, target: Path) -> Path:
    quantisation = import_extra("onnxruntime.quantization", extra="export", purpose="precision int8")
    with quiet():
        quantisation.quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=quantisation.QuantType.QInt8,
            reduce_range=True,  # 7 bits: processors without VNNI add two products in 16, which 8 overflow
            use_external_data_format=source.with_name(f"{source.name}.data").exists(),
        )
    return target


def exported_files(path: Path) -> list[Path]:
    """Name the files of an export that exist: the file itself, and its weights beside it."""
    return [file for file in (path, path.with_name(f"{path.name}.data")) if file.exists()]
