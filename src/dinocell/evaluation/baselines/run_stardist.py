"""StarDist in its documented default way; see baseline_job.py for what goes in and out.

https://github.com/stardist/stardist and its notebook examples/2D/3_prediction.ipynb:
``model = StarDist2D.from_pretrained("2D_versatile_fluo")``, then
``labels, details = model.predict_instances(normalize(image, 1, 99.8, axis=(0, 1)))``.

2D_versatile_fluo takes one channel, so colours become luminance. Its authors trained it on fluorescent nuclei
and offer 2D_versatile_he for RGB images of H&E: the option ``model`` takes that name, or a model's folder.
TensorFlow chooses the device; ``cpu`` hides the GPUs from it.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from baseline_job import Baseline, loading_weights, require, run_job, to_gray, to_rgb  # type: ignore[import-not-found]

DEFAULT_MODEL = "2D_versatile_fluo"
_REMEDY = (
    "connect to the internet once, or unpack a model of https://github.com/stardist/stardist-models/releases "
    "and add --tool-model stardist=FOLDER"
)


def load(options: dict[str, Any]) -> Baseline:
    """Load StarDist's model; a pretrained one is downloaded to ~/.keras once."""
    packages = "stardist tensorflow"
    require("stardist", tool="stardist", packages=packages)
    tensorflow = require("tensorflow", tool="stardist", packages=packages)
    if options["device"] == "cpu":
        tensorflow.config.set_visible_devices([], "GPU")
    normalize = require("csbdeep.utils", tool="stardist", packages=packages).normalize
    stardist_2d = require("stardist.models", tool="stardist", packages=packages).StarDist2D
    name = options["model"] or DEFAULT_MODEL
    folder = Path(name)
    with loading_weights(_REMEDY):
        if folder.is_dir():
            model = stardist_2d(None, name=folder.name, basedir=str(folder.parent))
        else:
            model = stardist_2d.from_pretrained(name)
        if model is None:  # it prints its list for a name it lacks
            raise ValueError(f"no pretrained model {name!r}")
    device = "gpu" if tensorflow.config.get_visible_devices("GPU") else "cpu"

    def segment(image: Any) -> Any:
        pixels = to_gray(image) if model.config.n_channel_in == 1 else to_rgb(image)
        return model.predict_instances(normalize(pixels, 1, 99.8, axis=(0, 1)))[0]

    return Baseline("stardist", version("stardist"), folder.name, device, segment)


if __name__ == "__main__":
    run_job(load)
