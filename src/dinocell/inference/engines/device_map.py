"""Maps that are put together on the device that predicts them: tiles are cut and blended there."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinocell.tiling import Placement, Tile, place_tiles


class DeviceMap:
    """Counterpart of `dinocell.tiling.Canvas` on a GPU: the image goes there once, the maps come back once.

    Parameters
    ----------
    gray : uint8 array, shape (Y, X)
        Preprocessed.
    tiles : sequence of Tile
        From `dinocell.tiling.plan_tiles` for this shape.
    forward : callable
        Takes uint8 tiles ``(B, size, size)`` to maps ``(B, N, size, size)``, on the device.
    device : torch.device
    maps : int
        N.
    """

    def __init__(
        self,
        gray: NDArray[np.uint8],
        tiles: Sequence[Tile],
        forward: Callable[[Tensor], Tensor],
        device: torch.device,
        *,
        maps: int = 1,
    ) -> None:
        self._forward = forward
        self._shape = (gray.shape[0], gray.shape[1])
        whole = slice(0, gray.shape[0]), slice(0, gray.shape[1])
        self._placements = list(place_tiles(tiles, self._shape, whole))
        self._added = 0
        beyond = [(0, max(0, tiles[0].size - length)) for length in self._shape]
        self._gray = _to_device(np.pad(gray, beyond, mode="symmetric"), device)
        self._total = torch.zeros((maps, *self._shape), device=device)
        self._weights = torch.zeros(self._shape, device=device)
        self._kept: dict[tuple[bytes, bytes], Tensor] = {}

    @torch.inference_mode()
    def add(self, tiles: Sequence[Tile]) -> None:
        """Predict the next tiles and blend them in; nothing has changed if the memory is not enough."""
        cut = [self._gray[tile.y : tile.y + tile.size, tile.x : tile.x + tile.size] for tile in tiles]
        maps = self._forward(torch.stack(cut))
        places = self._placements[self._added : self._added + len(tiles)]
        weights = [self._weight(place) for place in places]  # all that takes memory, before anything is added
        for one, place, weight in zip(maps, places, weights, strict=True):
            self._total[:, *place.in_window].addcmul_(weight, one[:, *place.in_tile])
            self._weights[place.in_window].add_(weight)
        self._added += len(tiles)

    def _weight(self, place: Placement) -> Tensor:
        """Keep the weights of tiles: all within the image weigh the same."""
        key = place.rows.tobytes(), place.columns.tobytes()
        if key not in self._kept:
            self._kept[key] = _to_device(place.weight(), self._gray.device)
        return self._kept[key]

    @torch.inference_mode()
    def finish(self) -> NDArray[np.float32]:
        """Return the maps: float32 array, shape (N, Y, X); once only, as they replace the sums."""
        return _to_host(self._total.div_(self._weights))


def _to_device(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copy through pinned memory, so that the device need not wait."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _to_host(tensor: Tensor) -> NDArray[np.float32]:
    """Copy through pinned memory, which goes back to torch at once: users may keep the copy for long."""
    if tensor.device.type != "cuda":
        return np.asarray(tensor.cpu().numpy())
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor)
    return np.array(pinned.numpy())
