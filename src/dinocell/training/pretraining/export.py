"""Result of a pretraining run: a folder that training takes as a backbone."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from dinocell import __version__
from dinocell.io.saving import atomic_path
from dinocell.models.checkpoint import WEIGHTS_FILE, replaced_folder
from dinocell.models.finding import CONFIG_FILE
from dinocell.models.network.backbone import Backbone
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.network.saved_weights import write_checkpoint
from dinocell.training.pretraining.config import PretrainConfig

RECORD_FILE = "pretraining.json"


@dataclass(frozen=True)
class PretrainOutcome:
    """Summary of a run: number of images, hash of their pixels, epochs done and seconds taken."""

    images: int
    images_sha256: str
    epoch: int
    seconds: float


def write_backbone(folder: Path, model: DINOCell, config: PretrainConfig, outcome: PretrainOutcome) -> None:
    """Write the backbone of a model, all or nothing, with a record of how it was made.

    A DINOv3 backbone is written as Hugging Face publishes them. Where no form is published, the whole model
    is written, its decoder untrained. ``backbone.weights`` takes both.

    Parameters
    ----------
    folder : Path
        Created, or replaced when complete.
    model : DINOCell
    config : PretrainConfig
    outcome : PretrainOutcome

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    backbone = model.backbone
    with replaced_folder(folder) as temporary:
        if not backbone.inner:
            write_checkpoint(temporary, model.config, model.state_dict())
        else:
            (temporary / WEIGHTS_FILE).write_bytes(save(published_weights(backbone), {"format": "pt"}))
            text = network_of(backbone).config.to_json_string(use_diff=False)
            (temporary / CONFIG_FILE).write_text(text, encoding="utf-8")
        record = json.dumps(_describe(model, config, outcome), indent=2, ensure_ascii=False)
        with atomic_path(temporary / RECORD_FILE) as path:
            path.write_text(record + "\n", encoding="utf-8")


def network_of(backbone: Backbone) -> Any:
    """Return Hugging Face's network inside a backbone."""
    return getattr(backbone, backbone.inner)


def published_weights(backbone: Backbone) -> dict[str, Tensor]:
    """Return the weights of a backbone under the names that Hugging Face publishes them by."""
    weights = backbone.state_dict()
    return {
        name: weights[key].detach().cpu().float().contiguous()
        for name, key in backbone.published_names().items()
    }


def _describe(model: DINOCell, config: PretrainConfig, outcome: PretrainOutcome) -> dict[str, Any]:
    """Describe the run: settings without this machine's paths, and the outcome."""
    began_with = model.config.backbone_weights
    return {
        **config.model_dump(mode="json", exclude={"images", "output", "weights"}),
        "weights": None if began_with is None else began_with.model_dump(mode="json"),
        **asdict(outcome),
        "dinocell": __version__,
    }
