"""DINOCell: backbone, decoder and head as one module that saves and loads itself."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dinocell.backbone import BackboneConfig, build_backbone
from dinocell.decoder import DecoderConfig, UNetDecoder
from dinocell.errors import CheckpointError, InputError, UnknownModelError, UntrainedModelError
from dinocell.preprocessing import Preprocessing
from dinocell.weights import CONFIG_FILE, SHIPPED, VARIANTS, WEIGHTS_FILE, Variant, replaced_folder

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Thresholds(BaseModel):
    """How a distance map becomes labels; chosen on validation data.

    Attributes
    ----------
    cells_max_threshold : float
        Pixels above it are markers.
    cell_fill_threshold : float
        Pixels above it belong to cells.
    merge : float
        Two basins whose saddle reaches this share of the lower peak are one cell; 1 merges none.
    regrow : bool
        Whether cells grow back by the rim that `cell_fill_threshold` cut.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cells_max_threshold: float = Field(default=0.47, ge=0, le=1)
    cell_fill_threshold: float = Field(default=0.09, ge=0, le=1)
    merge: float = Field(default=0.5, ge=0, le=1)
    regrow: bool = False


class ModelConfig(BaseModel):
    """Everything a checkpoint says of itself; stored as ``config.json`` beside the weights.

    Attributes
    ----------
    variant : str
        Name of the design.
    backbone, decoder
        The architecture.
    trained : bool
        Whether the decoder was trained; an untrained model is refused by `DINOCellPipeline`.
    tile_size, overlap : int
        Tiling in pixels.
    preprocessing : Preprocessing
        How images become network input.
    cell_diameter : float, optional
        The diameter in pixels that images are brought to when a diameter is given.
    diameter_range : (float, float), optional
        Cell diameters in pixels that the model saw in training.
    thresholds : Thresholds
    training : dict
        The training record: data, recipe, seed, budget.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    backbone: BackboneConfig
    decoder: DecoderConfig
    trained: bool = False
    tile_size: int = Field(default=256, gt=0)
    overlap: int = Field(default=32, ge=0)
    preprocessing: Preprocessing = Preprocessing()
    cell_diameter: float | None = Field(default=None, gt=0)
    diameter_range: tuple[float, float] | None = None
    thresholds: Thresholds = Thresholds()
    training: dict[str, Any] = {}


class DINOCell(nn.Module):
    """Backbone → U-Net decoder → one channel of distance-map logits.

    Parameters
    ----------
    config : ModelConfig
        Weights start random.

    Examples
    --------
    >>> model = DINOCell.from_variant("nano")
    >>> model(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 1, 64, 96])
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone)
        self.decoder = UNetDecoder(config.decoder, self.backbone.out_channels, self.backbone.strides)

    @property
    def stride(self) -> int:
        """Height and width of the input must be multiples of it."""
        return self.backbone.stride

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits of the distance map; a sigmoid brings them to [0, 1].

        Parameters
        ----------
        x : float tensor, shape (B, 3, H, W)
            ImageNet-normalised (see `normalise`); H and W multiples of `stride`.

        Returns
        -------
        float tensor, shape (B, 1, H, W)

        Raises
        ------
        InputError
            If the shape does not fit.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise InputError(f"model input has shape {tuple(x.shape)}, expected (B, 3, H, W)")
        if x.shape[2] % self.stride or x.shape[3] % self.stride or 0 in x.shape:
            raise InputError(
                f"model input is {x.shape[2]}×{x.shape[3]} px, expected multiples of {self.stride}: "
                "pad or tile the image"
            )
        logits: Tensor = self.decoder(x, self.backbone(x))
        return logits

    def freeze_backbone(self) -> None:
        """Keep the backbone's weights as they are from now on."""
        self.backbone.requires_grad_(False)

    @classmethod
    def from_variant(cls, name: str) -> Self:
        """Build a variant with random weights.

        Raises
        ------
        UnknownModelError
            If there is no such variant.
        """
        if name not in VARIANTS:
            raise UnknownModelError(
                f"no variant is called {name!r}. Known: {', '.join(VARIANTS)} (see `dinocell models`)"
            )
        variant = VARIANTS[name]
        return cls(ModelConfig(variant=name, backbone=variant.backbone, decoder=variant.decoder))

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> Self:
        """Load a trained model by name, or a checkpoint folder.

        Parameters
        ----------
        name_or_path : str or Path
            A name such as ``nano``, or a folder with ``config.json`` and ``model.safetensors``.

        Returns
        -------
        DINOCell
            In eval mode, float32, on the CPU.

        Raises
        ------
        UnknownModelError
            If there is neither a model nor a folder of that name.
        UntrainedModelError
            If the name is that of a variant without trained weights.
        CheckpointError
            If the folder's files are missing, damaged, or do not fit each other.
        """
        folder = find_checkpoint(name_or_path)
        config = read_config(folder)
        model = cls(config)
        model.load_state_dict(_read_weights(folder, model), strict=True)
        return model.eval()

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> Path:
        """Write ``config.json`` and ``model.safetensors``, all or nothing.

        Parameters
        ----------
        folder : str or Path
            Created, or replaced when complete.
        dtype : torch.dtype
            What the weights are stored as; float16 halves the file.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        folder = Path(folder)
        with replaced_folder(folder) as temporary:
            self.write_checkpoint(temporary, dtype=dtype)
        return folder

    def write_checkpoint(self, folder: Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write the two files of a checkpoint into an existing folder."""
        weights = {
            key: value.detach().to("cpu", dtype).contiguous() for key, value in self.state_dict().items()
        }
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        text = json.dumps(self.config.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def normalise(gray: Tensor) -> Tensor:
    """Turn 8-bit grayscale tiles into network input.

    Parameters
    ----------
    gray : uint8 tensor, shape (B, H, W)

    Returns
    -------
    float32 tensor, shape (B, 3, H, W)
        Three equal channels, scaled to [0, 1], then ImageNet-normalised.
    """
    mean = torch.tensor(IMAGENET_MEAN, device=gray.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=gray.device).view(1, 3, 1, 1)
    return (gray.unsqueeze(1).float() / 255 - mean) / std


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Find the folder of a model by name or path; errors as `DINOCell.from_pretrained`."""
    name, folder = str(name_or_path), Path(name_or_path)
    if name in VARIANTS:
        if (SHIPPED / name / CONFIG_FILE).is_file():
            return SHIPPED / name
        raise UntrainedModelError(
            f"model {name!r} has no trained weights here: train it with `dinocell train`, "
            "or choose one that `dinocell models` lists as trained"
        )
    if folder.is_dir():
        return folder
    raise UnknownModelError(
        f"no model and no folder is called {name!r}. "
        f"Known models: {', '.join(VARIANTS)} (see `dinocell models`); or give a checkpoint folder"
    )


def read_config(folder: Path) -> ModelConfig:
    """Read the ``config.json`` of a checkpoint folder.

    Raises
    ------
    CheckpointError
        If it is missing, not JSON, or has keys or values that do not belong.
    """
    path = folder / CONFIG_FILE
    try:
        return ModelConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{folder} is no checkpoint: {CONFIG_FILE} cannot be read ({error.strerror}). "
            f"Expected a folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointError(
            f"{path} is not a DINOCell configuration: {where}: {first['msg']}. Save the model again"
        ) from error


def _read_weights(folder: Path, model: nn.Module) -> dict[str, Tensor]:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} is no checkpoint: {WEIGHTS_FILE} is missing. Copy the whole folder")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or not safetensors ({error}). Copy or save the model again"
        ) from error
    problems = list(_mismatches(weights, model.state_dict()))
    if problems:
        raise CheckpointError(
            f"{path} does not fit its {CONFIG_FILE}: {'; '.join(problems)}. Both must come from one save"
        )
    return {key: value.float() for key, value in weights.items()}


def _mismatches(found: dict[str, Tensor], expected: dict[str, Tensor]) -> Iterator[str]:
    """Say in words which keys are missing, unexpected, or of another shape."""
    wrong = [k for k in expected.keys() & found.keys() if found[k].shape != expected[k].shape]
    for what, keys in (
        ("missing", expected.keys() - found.keys()),
        ("unexpected", found.keys() - expected.keys()),
        ("of another shape", wrong),
    ):
        if keys:
            names = sorted(keys)
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{len(names)} {what} ({', '.join(names[:3])}{more})"


@dataclass(frozen=True)
class ModelInfo:
    """What `list_models` says of a variant.

    Attributes
    ----------
    name, title : str
        What users type, and the backbone in words.
    backbone_parameters, decoder_parameters : int
        Counted.
    stride : int
        Input sizes are multiples of it, in pixels.
    trained : bool
        Whether trained weights of backbone and decoder ship with the package.
    licence, source : str
        Of the backbone's pretrained weights.
    """

    name: str
    title: str
    backbone_parameters: int
    decoder_parameters: int
    stride: int
    trained: bool
    licence: str
    source: str


def list_models() -> list[ModelInfo]:
    """List every variant, with its parameters counted on a model without memory."""
    return [_describe(variant) for variant in VARIANTS.values()]


def _describe(variant: Variant) -> ModelInfo:
    with torch.device("meta"):
        model = DINOCell.from_variant(variant.name)
    return ModelInfo(
        name=variant.name,
        title=variant.title,
        backbone_parameters=sum(p.numel() for p in model.backbone.parameters()),
        decoder_parameters=sum(p.numel() for p in model.decoder.parameters()),
        stride=model.stride,
        trained=is_trained(variant.name),
        licence=variant.licence,
        source=variant.source,
    )


def is_trained(name: str) -> bool:
    """Whether trained weights of a variant ship with the package."""
    folder = SHIPPED / name
    return (folder / CONFIG_FILE).is_file() and read_config(folder).trained
