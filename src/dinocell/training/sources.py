"""Choice of where crops are prepared: by the processor, or by the device where the model learns."""

import math
from collections.abc import Sequence

import torch

from dinocell.models.memory import explain_out_of_memory
from dinocell.training.annotated import Annotated
from dinocell.training.config import TrainConfig
from dinocell.training.on_device.images import BYTES_PER_PIXEL
from dinocell.training.on_device.samples import DeviceSamples
from dinocell.training.samples import StoreImages, TrainingSamples

LARGEST_SHARE = 0.5
"""Share of the device's free memory that data may take where nobody asked for it."""


def open_samples(
    datasets: Sequence[Sequence[Annotated]], config: TrainConfig, device: torch.device
) -> TrainingSamples | DeviceSamples:
    """Choose by `data_on` what prepares the crops.

    Parameters
    ----------
    datasets : list of sequence of Annotated
    config : TrainConfig
    device : torch.device
        Where the model learns.

    Returns
    -------
    TrainingSamples or DeviceSamples
        The device where `data_on` says so, or where it is a GPU that has memory to spare.

    Raises
    ------
    DeviceMemoryError
        If the device was asked for, and has no memory for the data.
    """
    needed = BYTES_PER_PIXEL * sum(_pixels(items) for items in datasets)
    kept = config.data_on == "cpu" or config.cached_crops > 0  # a cache wants crops one by one
    if kept or (config.data_on == "auto" and not _has_room(device, needed)):
        return TrainingSamples(datasets, config)
    with explain_out_of_memory(
        f"the memory of {device} is not enough for data of {needed / 2**30:.1f} GiB: set data_on to cpu"
    ):
        return DeviceSamples(datasets, config, device)


def _has_room(device: torch.device, needed: int) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return needed <= LARGEST_SHARE * free


def _pixels(items: Sequence[Annotated]) -> int:
    if isinstance(items, StoreImages):
        return sum(math.prod(items.shape(number)) for number in range(len(items)))
    return sum(item.image.size for item in items)
