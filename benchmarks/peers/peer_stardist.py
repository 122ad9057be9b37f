"""StarDist with the architecture of its pretrained 2D models and random weights; see peer_job.py.

The network runs on the whole image at once, as `StarDist2D.predict` does unless told otherwise, or in the
tiles that the model itself guesses when it chooses its thresholds.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow
from csbdeep.utils import normalize
from peer_job import run_part
from stardist import edt_prob, star_dist
from stardist.models import Config2D, StarDist2D

GRID, RAYS = 2, 32  # of 2D_versatile_fluo


class Stardist:
    """StarDist2D.

    Parameters
    ----------
    options : dict
        ``tiled``: whether the image is cut into tiles.
    threads : int
    """

    packages = ("stardist", "tensorflow_cpu")

    def __init__(self, options: dict[str, Any], threads: int) -> None:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        self.tiled = options.get("tiled", False)
        config = Config2D(n_rays=RAYS, grid=(GRID, GRID), n_channel_in=1)
        with tempfile.TemporaryDirectory() as folder:
            self.model = StarDist2D(config, name="untrained", basedir=folder)
        # Keras translates the network for the first shape, and for any shape when a second one comes.
        for side in (256, 320):
            self.model.predict(np.zeros((side, side), np.float32))

    def predict(self, image: Any) -> Any:
        """Predict probabilities and distances on the grid."""
        tiles = self.model._guess_n_tiles(image) if self.tiled else None
        return self.model.predict(normalize(image, 1, 99.8), n_tiles=tiles, show_tile_progress=False)

    def derive(self, labels: Any) -> dict[str, Any]:
        """Compute the targets of its training."""
        return {
            "prob": edt_prob(labels)[::GRID, ::GRID],
            "dist": star_dist(labels, RAYS, grid=(GRID, GRID)),
            "shape": np.array(labels.shape),
        }

    def postprocess(self, ideal: dict[str, Any]) -> Any:
        """Choose among all polygons and draw those that are left, with the thresholds of a new model."""
        return self.model._instances_from_prediction(tuple(ideal["shape"]), ideal["prob"], ideal["dist"])[0]


if __name__ == "__main__":
    run_part(Stardist)
