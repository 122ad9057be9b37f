"""DINOCell: backbone, decoder and head as one module that saves and loads itself."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from dinocell.errors import CheckpointError, DINOCellError, InputError
from dinocell.labels import Target
from dinocell.models.architecture import TokenStride
from dinocell.models.checkpoint import GRAPH_FILE, Checkpoint, replaced_folder
from dinocell.models.clicks import CLICK_FILE
from dinocell.models.configuration import ModelConfig
from dinocell.models.finding import CONFIG_FILE
from dinocell.models.memory import is_out_of_memory
from dinocell.models.network.backbone import Backbone
from dinocell.models.network.building import build_backbone
from dinocell.models.network.decoder import UNetDecoder
from dinocell.models.network.folding import folded_weights
from dinocell.models.network.saved_weights import check_weights_size, read_weights, write_checkpoint
from dinocell.models.network.weights import load_backbone_weights
from dinocell.models.variants import find_variant

logger = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class DINOCell(nn.Module):
    """Backbone → U-Net decoder → logits of the distance maps, a channel a target.

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
        self.backbone: Backbone = build_backbone(config.backbone)
        self.decoder = UNetDecoder(
            config.decoder, self.backbone.out_channels, self.backbone.strides, targets=len(config.targets)
        )

    @property
    def stride(self) -> int:
        """Number of pixels that height and width of the input must be multiples of."""
        return self.backbone.stride

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    def forward(self, x: Tensor, *maps: Tensor) -> Tensor:
        """Map images to logits of the distance maps; a sigmoid brings them to [0, 1].

        Parameters
        ----------
        x : float tensor, shape (B, 3, H, W)
            ImageNet-normalised (see `normalise`); H and W multiples of `stride`.
        *maps : float tensor
            The backbone's feature maps of them, where they are known; then it is not run.

        Returns
        -------
        float tensor, shape (B, T, H, W)
            A map a target, in the order of ``config.targets``.

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
        if not maps:
            with torch.set_grad_enabled(torch.is_grad_enabled() and _learns(self.backbone)):
                maps = self.backbone(x)
        logits: Tensor = self.decoder(x, maps)
        return logits

    def train(self, mode: bool = True) -> Self:
        """Set train or eval mode; a frozen backbone, and the frozen blocks of another, stay in eval mode."""
        super().train(mode)
        for part in (self.backbone, *self.backbone.blocks):
            if not _learns(part):
                part.eval()
        return self

    def folded(self) -> Self:
        """Return the network with each BatchNorm folded into the convolution before it, in eval mode.

        It computes what this one does in eval mode. One without BatchNorm is returned as it is.
        """
        config = self.config.folded()
        if config == self.config:
            return self.eval()
        model = type(self)(config)
        model.load_state_dict(folded_weights(self.state_dict()))
        return model.to(self.device).eval()

    def freeze_backbone(self, *, except_last: int = 0) -> None:
        """Keep the backbone's weights as they are from now on.

        A frozen backbone runs without gradients (none reaches the image through it) and in eval mode; give an
        optimiser only the parameters that require gradients.

        Parameters
        ----------
        except_last : int
            The last blocks of a ViT, or stages of a convolutional backbone, that learn all the same.

        Raises
        ------
        InputError
            If there are not so many.
        """
        blocks = self.backbone.blocks
        if not 0 <= except_last <= len(blocks):
            raise InputError(
                f"except_last is {except_last}, expected 0 to {len(blocks)}, the backbone's blocks"
            )
        self.backbone.requires_grad_(False)
        for block in blocks[len(blocks) - except_last :]:
            block.requires_grad_(True)
        self.train(self.training)

    @classmethod
    def from_variant(
        cls,
        name: str,
        *,
        targets: Sequence[Target] = ("cells",),
        backbone_weights: str | Path | None = None,
        token_stride: TokenStride | None = None,
    ) -> Self:
        """Build a variant with an untrained decoder.

        Parameters
        ----------
        name : str
            See `dinocell.list_models`.
        targets : sequence of str
            What its maps are to outline.
        backbone_weights : str or Path, optional
            ``pretrained``, a Hugging Face id, a folder or a file (see
            `dinocell.models.network.weights.load_backbone_weights`); random weights otherwise.
        token_stride : {16, 8}, optional
            Pixels from token to token of a DINOv2 backbone; by default the variant's.

        Returns
        -------
        DINOCell
            In train mode.

        Raises
        ------
        UnknownModelError
            If the variant does not exist.
        InputError
            If it has no `token_stride`.
        DINOCellError
            If the weights cannot be found, read or used.
        """
        variant = find_variant(name).with_token_stride(token_stride)
        model = cls(ModelConfig.of_variant(variant, targets))
        if backbone_weights is not None:
            record = load_backbone_weights(model.backbone, variant, backbone_weights)
            model.config = model.config.model_copy(update={"backbone_weights": record})
        return model

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, fold: bool = True) -> Self:
        """Load a trained model by name, or a checkpoint folder.

        Parameters
        ----------
        name_or_path : str or Path
            A name such as ``nano``, or a folder with ``config.json`` and ``model.safetensors``.
        fold : bool
            Whether BatchNorm is folded into the convolutions, which fixes its statistics.

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
        return cls.load(Checkpoint.find(name_or_path), fold=fold)

    @classmethod
    def load(cls, checkpoint: Checkpoint, *, fold: bool = True) -> Self:
        """Load a checkpoint that was found; for the rest see `from_pretrained`.

        One without a folder is built with random weights.
        """
        folder, config = checkpoint.folder, checkpoint.config
        if folder is None:
            return cls(config).eval()
        try:
            with torch.device("meta"):  # no memory is taken before it is known that the weights are there
                check_weights_size(folder, cls(config))
            model = cls(config)
        except CheckpointError:
            raise
        except (ValueError, RuntimeError, ZeroDivisionError) as error:
            if is_out_of_memory(error):
                raise
            raise CheckpointError(
                f"{folder / CONFIG_FILE} describes no network that can be built ({error}): "
                "save the model again"
            ) from error
        model.load_state_dict(read_weights(folder, model), strict=True)
        return model.folded() if fold else model.eval()

    def save_pretrained(
        self, folder: str | Path, *, dtype: torch.dtype = torch.float32, graph: bool = False
    ) -> Path:
        """Write ``config.json`` and ``model.safetensors``, all or nothing.

        Parameters
        ----------
        folder : str or Path
            Created, or replaced when complete.
        dtype : torch.dtype
            What the weights are stored as; float16 halves the file.
        graph : bool
            Whether to write ``model.onnx`` as well, with which the model runs without PyTorch (see
            `dinocell.models.export.checkpoint_graph.write_graph`); a warning where it cannot be made.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        folder = Path(folder).resolve()
        with replaced_folder(folder) as temporary:
            for file in folder.glob("*"):  # a model card, say, stays
                if file.is_file() and file.name not in (GRAPH_FILE, CLICK_FILE):
                    shutil.copy2(file, temporary)
            write_checkpoint(temporary, self.config, self.state_dict(), dtype=dtype)
            if graph:
                _add_graph(temporary)
        return folder


def _add_graph(folder: Path) -> None:
    """Write the graph of a checkpoint; weights that were learned are not lost where that fails."""
    from dinocell.models.export.checkpoint_graph import write_graph

    try:
        write_graph(folder)
    except DINOCellError as error:
        logger.warning("saved without %s, so it will run in PyTorch only: %s", GRAPH_FILE, error)


def _learns(part: nn.Module) -> bool:
    """Return whether any weight of a module is to be trained."""
    return any(parameter.requires_grad for parameter in part.parameters())


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
