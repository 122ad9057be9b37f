"""Cellpose 4 (Cellpose-SAM) in its documented default way; see baseline_job.py for what goes in and out.

https://cellpose.readthedocs.io/en/latest/notebook.html: ``model = models.CellposeModel(gpu=True)``, then
``masks, flows, styles = model.eval(image)``, with its own diameter and thresholds. Without a GPU it falls
back to the CPU. Images go in as they are. One with channels is given with its ``channel_axis``, which it
guesses wrongly on narrow images; which channels it uses is left to it. The option ``model`` is a built-in
name or a file.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from baseline_job import Baseline, PackageMissingError, loading_weights, require, run_job  # type: ignore[import-not-found]

_REMEDY = (
    "connect to the internet once, or download cpsam_v2 from https://huggingface.co/mouseland/cellpose-sam "
    "and add --tool-model cellpose=FILE"
)


def load(options: dict[str, Any]) -> Baseline:
    """Load Cellpose's model; a built-in one is downloaded to ~/.cellpose once."""
    models = require("cellpose.models", tool="cellpose", packages="cellpose")
    installed = version("cellpose")
    if int(installed.split(".")[0]) < 4:
        raise PackageMissingError(
            f"cellpose {installed} is installed, expected 4 or newer, whose defaults differ: "
            "run `pip install --upgrade cellpose` in that environment"
        )
    wanted, device = options["model"], options["device"]
    settings = {} if wanted is None else {"pretrained_model": wanted}
    if ":" in device:
        settings["device"] = require("torch", tool="cellpose", packages="cellpose").device(device)
    with loading_weights(_REMEDY):
        model = models.CellposeModel(gpu=device != "cpu", **settings)
        loaded = Path(model.pretrained_model).name
        if wanted is not None and loaded != Path(wanted).name:  # it takes its default for a name it lacks
            raise ValueError(f"no model {wanted!r}, it would take {loaded!r} instead")

    def segment(image: Any) -> Any:
        masks = model.eval(image, channel_axis=2 if image.ndim == 3 else None)[0]
        return masks.reshape(image.shape[:2])  # it squeezes images one pixel wide

    return Baseline("cellpose", installed, loaded, str(model.device), segment)


if __name__ == "__main__":
    run_job(load)
