"""Entry points of `torch.hub` on a checkout: ``dinocell_nano`` and one for every other variant.

Try ``torch.hub.load("PATH/TO/CHECKOUT", "dinocell_nano", source="local")``.
"""

import importlib.util as _util
import sys as _sys
from collections.abc import Callable as _Callable
from pathlib import Path as _Path

if _util.find_spec("dinocell") is None:  # not installed: the package is this checkout's
    _sys.path.insert(0, str(_Path(__file__).parent / "src"))

import dinocell as _dinocell
from dinocell import errors as _errors
from dinocell.models import checkpoint as _checkpoint
from dinocell.models import variants as _variants

dependencies = [
    "torch",
    "transformers",
    "huggingface_hub",
    "safetensors",
    "pydantic",
    "numpy",
    "scipy",
    "cv2",
    "lazy_loader",
]


def _entry(name: str) -> _Callable[..., _dinocell.DINOCell]:
    def load(*, pretrained: bool | None = None, backbone_weights: str | None = None) -> _dinocell.DINOCell:
        if pretrained and backbone_weights is not None:
            raise _errors.InputError("pretrained brings a backbone along: leave backbone_weights out")
        if pretrained is None:
            pretrained = backbone_weights is None and _checkpoint.is_trained(name)
        if pretrained:
            return _dinocell.DINOCell.from_pretrained(name)
        return _dinocell.DINOCell.from_variant(name, backbone_weights=backbone_weights)

    load.__doc__ = f"""Load DINOCell's variant {name!r}.

    Parameters
    ----------
    pretrained : bool, optional
        Whether to load trained weights of backbone and decoder, and refuse where there are none; by default
        they are loaded where there are. The network is then in eval mode, else in train mode.
    backbone_weights : str, optional
        Published weights for the backbone of an untrained network, as `DINOCell.from_variant` takes them.
    """
    return load


for _name in _variants.VARIANTS:
    globals()[f"dinocell_{_name.replace('-', '_')}"] = _entry(_name)
