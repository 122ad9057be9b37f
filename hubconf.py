"""Entry points of `torch.hub` on a checkout: ``dinocell_nano`` and one for every other variant.

Try ``torch.hub.load("PATH/TO/CHECKOUT", "dinocell_nano", source="local")``.
"""

import functools
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("dinocell") is None:  # not installed: the package is this checkout's
    sys.path.insert(0, str(Path(__file__).parent / "src"))

from dinocell.checkpoint import is_trained
from dinocell.model import DINOCell
from dinocell.variants import VARIANTS

dependencies = ["torch", "numpy", "pydantic", "safetensors", "transformers"]


def load(name: str, *, pretrained: bool | None = None, backbone_weights: str | None = None) -> DINOCell:
    """Load a variant.

    Parameters
    ----------
    name : str
        Given by the entry point.
    pretrained : bool, optional
        Whether to load trained weights of backbone and decoder, and refuse where there are none; by default
        they are loaded where there are.
    backbone_weights : str, optional
        Published weights for the backbone of an untrained model, as `DINOCell.from_variant` takes them.
    """
    if pretrained is None:
        pretrained = backbone_weights is None and is_trained(name)
    if pretrained:
        return DINOCell.from_pretrained(name)
    return DINOCell.from_variant(name, backbone_weights=backbone_weights)


for _name in VARIANTS:
    globals()[f"dinocell_{_name.replace('-', '_')}"] = functools.partial(load, _name)
