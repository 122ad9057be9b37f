"""Exported models, made once for a machine and kept in the user's cache."""

import hashlib
import logging
import os
from pathlib import Path

import torch

from dinocell.errors import OutputError
from dinocell.machine import cache_folder
from dinocell.models.export.program import OPSET
from dinocell.models.export.standalone import Exported, export_onnx
from dinocell.models.network.dinocell import DINOCell
from dinocell.version import __version__

logger = logging.getLogger(__name__)


def exported_file(model: DINOCell, *, precision: Exported) -> Path:
    """Find the exported file of a model, or make it: that takes some 20 seconds, once.

    Parameters
    ----------
    model : DINOCell
    precision : {"float32", "int8"}

    Returns
    -------
    Path
        Named by a hash of all that decides about its content.

    Raises
    ------
    DINOCellError
        As `dinocell.models.export.standalone.export_onnx`, or if the cache cannot be written.
    """
    folder = cache_folder()
    path = folder / f"{model.config.variant.replace(os.sep, '-')}-{precision}-{_digest(model)}.onnx"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made ({error.strerror}): set DINOCELL_CACHE to a folder that can be written"
        ) from error
    logger.info("exporting %s to %s, once", model.config.variant, path)
    return export_onnx(model, path, precision=precision)


def remake(model: DINOCell, path: Path, *, precision: Exported) -> Path:
    """Export a model again whose file in the cache turned out to be damaged."""
    logger.warning("%s is damaged: it is made anew", path)
    return export_onnx(model, path, precision=precision)


def _digest(model: DINOCell) -> str:
    config = model.config.model_dump_json(exclude={"training"})
    digest = hashlib.sha256(f"{__version__} {torch.__version__} {OPSET} {config}".encode())
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
