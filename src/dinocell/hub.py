"""Weights from Hugging Face: download once, then from the cache without network.

The cache (``HF_HOME``), resuming, proxies (``HTTPS_PROXY``), tokens (``HF_TOKEN``) and the offline mode
(``HF_HUB_OFFLINE=1``) are those of `huggingface_hub`.
"""

import logging
import re
from pathlib import Path

from dinocell.errors import DownloadError

logger = logging.getLogger(__name__)

_FILES = ["*.safetensors", "*.safetensors.index.json"]
_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_id(text: str) -> bool:
    """Whether a text has the form ``owner/name``."""
    return _ID.fullmatch(text) is not None


def fetch_folder(hub_id: str, *, licence: str) -> Path:
    """Find the folder of a repository's weights in the cache, and download it if it is not there.

    Parameters
    ----------
    hub_id : str
        ``owner/name``.
    licence : str
        Named when a download begins, so once for each model.

    Returns
    -------
    Path
        Complete; its files are those of the newest revision at the time of the download.

    Raises
    ------
    DownloadError
        If the repository is gated, unknown or cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=_FILES, local_files_only=True))
    except LocalEntryNotFoundError:
        return _download(hub_id, licence)


def _download(hub_id: str, licence: str) -> Path:
    from huggingface_hub import constants, errors, snapshot_download

    page = f"{constants.ENDPOINT}/{hub_id}"
    if not constants.HF_HUB_OFFLINE:
        logger.warning("downloading weights of %s; they are under the %s, see %s", hub_id, licence, page)
    try:
        return Path(snapshot_download(hub_id, allow_patterns=_FILES))
    except errors.GatedRepoError as error:
        raise DownloadError(
            f"{hub_id} is gated: sign in at {page}, accept the licence there, then run `hf auth login` or "
            "set HF_TOKEN to a token of yours. `dinocell models` lists open copies of the same weights"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DownloadError(
            f"{hub_id} is no file or folder here, and not on {constants.ENDPOINT} (or private there): "
            "check the name, or set HF_TOKEN"
        ) from error
    # HTTPError is of the library below, and which one that is depends on the version.
    except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined]
        raise DownloadError(_explain(hub_id, error)) from error


def _explain(hub_id: str, error: Exception) -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return (
            f"{hub_id} is not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set: unset it, or "
            "copy the cache from a machine with network"
        )
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"{hub_id} cannot be downloaded ({reason}): check the network and HTTPS_PROXY, then try again, it "
        "goes on where it stopped; or download the weights elsewhere and give the file"
    )
