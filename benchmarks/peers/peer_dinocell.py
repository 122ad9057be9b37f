"""DINOCell, and its network in the plainest loop; see peer_job.py.

The loop does what SAMCell does: one tile of 256 a pass at a stride of 192, CLAHE tile by
tile, and a cosine blend. Only the network is ours, where SAMCell's is SAM's ViT-B at four times the side.
"""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import torch
from peer_job import run_part

from dinocell import DINOCellPipeline, labels_to_distance
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.tiling import Canvas, cut_tile, plan_tiles

TILE, OVERLAP = 256, 64


class Dinocell:
    """Pipeline on the CPU with random weights.

    Parameters
    ----------
    options : dict
        ``model``, a variant's name; ``loop``: whether the network runs in the plain loop.
    threads : int
    """

    packages = ("dinocell", "torch")

    def __init__(self, options: dict[str, Any], threads: int) -> None:
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)  # ONNX Runtime's as well
        torch.manual_seed(0)
        cv2.setNumThreads(threads)
        self.pipeline = DINOCellPipeline(options["model"], device="cpu", allow_untrained=True)
        if options.get("loop", False):
            self.predict = self.predict_in_loop  # type: ignore[method-assign]
            network = DINOCell.load(self.pipeline.model)
            self.network = network.to(memory_format=torch.contiguous_format)

    def predict(self, image: Any) -> Any:
        """Predict the distance map."""
        return [self.pipeline.predict_on_full_img(image)]

    @torch.no_grad()
    def predict_in_loop(self, image: Any) -> Any:
        """Predict the distance map tile by tile."""
        tiles = plan_tiles(image.shape, TILE, OVERLAP)
        canvas = Canvas(tiles, image.shape)
        clahe = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8))
        for tile in tiles:
            gray = clahe.apply(np.ascontiguousarray(cut_tile(image, tile)))
            logits = self.network(normalise(torch.from_numpy(gray)[None]))
            canvas.add(torch.sigmoid(logits)[0, 0].numpy())
        return [canvas.finish()]

    def derive(self, labels: Any) -> dict[str, Any]:
        """Compute the target of its training."""
        return {"distance": labels_to_distance(labels)}

    def postprocess(self, ideal: dict[str, Any]) -> Any:
        """Cut cells out of the map with the model's own thresholds."""
        return self.pipeline.cells_from_dist_map(ideal["distance"])


if __name__ == "__main__":
    run_part(Dinocell)
