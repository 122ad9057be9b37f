"""SAMCell in its documented default way; see baseline_job.py for what goes in and out.

README of https://github.com/saahilsanganeriya/SAMCell (samcell 1.2):
``model = samcell.FinetunedSAM("facebook/sam-vit-base")``, ``model.load_weights("samcell-generalist.pt")``,
``pipeline = samcell.SAMCellPipeline(model, device="cuda")``, then ``labels = pipeline.run(image)`` with the
image as 8-bit gray, as OpenCV reads it. Other dtypes, of which it keeps the last 8 bits only, are stretched
from their lowest to their highest value. The option ``model`` is the file of weights, which is not part of
the package and is not fetched by it.

``pipeline.run`` catches its own errors, logs them and returns an image without cells. They are taken from the
log, so that such an image counts as failed and says why.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from baseline_job import Baseline, WeightsMissingError, loading_weights, require, run_job, to_gray  # type: ignore[import-not-found]

WEIGHTS = "https://github.com/saahilsanganeriya/SAMCell/releases/download/v1/samcell-generalist.pt"
BASE_MODEL = "facebook/sam-vit-base"


class _Swallowed(logging.Handler):
    """Log handler that keeps the errors with which SAMCell goes on to an empty result."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("Error in "):
            self.messages.append(message)


def load(options: dict[str, Any]) -> Baseline:
    """Load SAMCell's weights into SAM, which transformers downloads once."""
    samcell = require("samcell", tool="samcell", packages="samcell")
    torch = require("torch", tool="samcell", packages="samcell")
    if options["model"] is None:
        raise WeightsMissingError(
            f"no weights are given: download {WEIGHTS} and add --tool-model samcell=FILE"
        )
    weights = Path(options["model"])
    device = options["device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    remedy = f"check {weights}, and connect to the internet once, so that {BASE_MODEL} can be downloaded"
    with loading_weights(remedy):
        model = samcell.FinetunedSAM(BASE_MODEL)
        model.load_weights(str(weights), map_location=device)
        pipeline = samcell.SAMCellPipeline(model, device=device)
    swallowed = _Swallowed()
    logging.getLogger("samcell").addHandler(swallowed)

    def segment(image: Any) -> Any:
        swallowed.messages.clear()
        labels = pipeline.run(stretch_to_uint8(image))
        if swallowed.messages:
            raise RuntimeError(swallowed.messages[0])
        return labels

    return Baseline("samcell", version("samcell"), weights.stem, device, segment)


def stretch_to_uint8(image: Any) -> Any:
    """Convert an image to 8-bit gray."""
    gray = to_gray(image).astype(np.float64)
    if image.dtype != np.uint8:
        low, high = gray.min(), gray.max()
        gray = (gray - low) * (255 / (high - low if high > low else 1))
    return np.round(gray).astype(np.uint8)


if __name__ == "__main__":
    run_job(load)
