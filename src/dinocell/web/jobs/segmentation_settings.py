"""Settings of a segmentation as a request has them: by the names of the command line and of YAML."""

from typing import Any

from dinocell.errors import InputError
from dinocell.inference.settings import InferenceSettings
from dinocell.io.pixel_size import validate_pixel_size
from dinocell.models.checkpoint import read_config
from dinocell.models.finding import find_checkpoint
from dinocell.web.archive.archive import Archive
from dinocell.web.archive.records import ImageRecord
from dinocell.web.models import DEFAULT, find_model

OWN = ("model", "channel", "pixel_size_um", "device")
"""Settings beside those of `InferenceSettings`; the device is that of the worker."""


def check_settings(given: dict[str, Any], image: ImageRecord, archive: Archive) -> dict[str, Any]:
    """Return settings that can be used: a model, a channel, and options of inference.

    Parameters
    ----------
    given : dict
    image : ImageRecord
    archive : Archive

    Returns
    -------
    dict
        ``model``, ``channel`` (int or None), ``pixel_size_um`` (tuple or None), ``options``.

    Raises
    ------
    InputError, UnknownModelError
        If one is unknown or out of bounds.
    """
    if "device" in given:
        raise InputError(
            "device is chosen where the server is started, expected no such setting: leave it out"
        )
    model = find_model(archive, given.get("model", DEFAULT))
    options = {name: value for name, value in given.items() if name not in OWN}
    InferenceSettings().completed(read_config(find_checkpoint(model)), **options)
    size = given.get("pixel_size_um")
    try:
        chosen = None if size is None else validate_pixel_size(size)
    except TypeError:
        raise InputError(f"pixel_size_um is {size!r:.40}, expected micrometres") from None
    return {
        "model": model,
        "channel": _find_channel(given.get("channel"), image),
        "pixel_size_um": chosen or image.pixel_size_um,
        "options": options,
    }


def _find_channel(channel: object, image: ImageRecord) -> int | None:
    names = [each.name for each in image.channels]
    if channel is None:
        if image.rgb or len(names) == 1:
            return None
        raise InputError(
            f"{image.name} has {len(names)} channels ({', '.join(names)}), expected a choice: give channel, "
            "by name or by number from 0"
        )
    if isinstance(channel, str) and channel in names:
        return names.index(channel)
    if isinstance(channel, int) and not isinstance(channel, bool) and 0 <= channel < len(names):
        return channel
    raise InputError(
        f"channel is {channel!r:.40}, expected one of {', '.join(names)}, or a number below {len(names)}"
    )
