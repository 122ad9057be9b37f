"""Cellpose with random weights, Cellpose-SAM of version 4 or the CPnet of version 3; see peer_job.py.

Version 4 imports torchvision, with which it augments in training and SAM reads images: neither is part of
segmenting. Where torchvision is not installed, an empty one stands in, whose functions refuse to be called.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np
import torch
from peer_job import run_part

MAJOR = int(version("cellpose").split(".")[0])
IMPORTED = {
    "torchvision": (),
    "torchvision.ops": (),
    "torchvision.ops.boxes": ("batched_nms", "box_area"),
    "torchvision.transforms": ("functional", "_functional_tensor"),
    "torchvision.transforms.functional": ("resize", "to_pil_image"),
}
"""Modules of torchvision and the names in them that cellpose 4 and segment_anything import."""


def stand_in_for_torchvision() -> None:
    """Let the imports succeed, and any use fail."""

    def refuse(*_: Any, **__: Any) -> None:
        raise NotImplementedError("torchvision is not installed, and only its imports are stood in for")

    for name, contents in IMPORTED.items():
        module = sys.modules[name] = ModuleType(name)
        for content in contents:
            setattr(module, content, refuse)
    functional = sys.modules["torchvision.transforms.functional"]
    sys.modules["torchvision.transforms"].functional = functional  # type: ignore[attr-defined]


if MAJOR >= 4 and importlib.util.find_spec("torchvision") is None:
    stand_in_for_torchvision()

from cellpose import dynamics, models  # noqa: E402 (torchvision must be there before)

CPU = torch.device("cpu")


class Untrained(models.CellposeModel):
    """CellposeModel of version 4 that needs no file of weights."""

    def __init__(self, *, bfloat16: bool) -> None:
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        self.device, self.gpu, self.backbone = CPU, False, "sam_vitl"
        self.net = models.CPSAM(dtype=dtype).to(dtype)


class Cellpose:
    """CellposeModel with random weights.

    Parameters
    ----------
    options : dict
        ``bfloat16``: whether the weights are, as Cellpose-SAM's are unless told otherwise.
    threads : int
    """

    packages = ("cellpose", "torch")

    def __init__(self, options: dict[str, Any], threads: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        if MAJOR >= 4:
            self.model = Untrained(bfloat16=options.get("bfloat16", True))
        else:
            self.model = models.CellposeModel(gpu=False, pretrained_model=None)

    def predict(self, image: Any) -> Any:
        """Predict flows and cell probabilities."""
        channels = {} if MAJOR >= 4 else {"channels": [0, 0]}
        return self.model.eval(image, compute_masks=False, **channels)[1][1:3]

    def derive(self, labels: Any) -> dict[str, Any]:
        """Compute the targets of its training: flows five times as long, and logits far from 0."""
        _, inside, *flows = dynamics.labels_to_flows([labels], device=CPU)[0]
        return {"flows": 5 * np.stack(flows[:2]), "logits": 20 * inside - 10}

    def postprocess(self, ideal: dict[str, Any]) -> Any:
        """Follow the flows as `eval` does unless told otherwise, with its check of every cell's flows."""
        return dynamics.resize_and_compute_masks(ideal["flows"], ideal["logits"], min_size=15, device=CPU)


if __name__ == "__main__":
    run_part(Cellpose)
