"""Weights from Hugging Face: download once, then from the cache without network.

The cache (``HF_HOME``), resuming, proxies (``HTTPS_PROXY``), tokens (``HF_TOKEN``) and the offline mode
(``HF_HUB_OFFLINE=1``) are those of `huggingface_hub`.
"""

import importlib
import json
import logging
import re
from pathlib import Path

from dinocell.errors import CheckpointError, DownloadError
from dinocell.io.opening import read_whole

logger = logging.getLogger(__name__)

INDEX_FILE = "model.safetensors.index.json"

_WANTED = ["*.safetensors", INDEX_FILE]
_UNWANTED = ["*/*"]  # subfolders: exports to other formats


def is_hub_id(text: str) -> bool:
    """Return whether a text can be the name of a repository, ``owner/name``."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return text.count("/") == 1


def cached_folder(hub_id: str) -> Path | None:
    """Find the folder of a repository's weights in the cache; None where it is not there, or not complete."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:  # nothing that is installed here has filled it
        return None
    try:
        cached = Path(
            snapshot_download(
                hub_id, allow_patterns=_WANTED, ignore_patterns=_UNWANTED, local_files_only=True
            )
        )
    except LocalEntryNotFoundError:
        logger.debug("%s is not in the cache", hub_id)
        return None
    return cached if _is_complete(cached) else None  # other programs may have cached other files of it alone


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
        If the repository is gated, unknown, without ``.safetensors``, or cannot be reached.
    """
    cached = cached_folder(hub_id)
    if cached is not None:
        return cached
    folder = _download(hub_id, licence)
    if not _is_complete(folder):
        raise DownloadError(f"{hub_id} holds no .safetensors: choose an id that `dinocell models` lists")
    return folder


def shards(folder: Path) -> list[Path]:
    """List the files that the index of a folder names; none without an index.

    Raises
    ------
    CheckpointError
        If the index is damaged.
    """
    index = folder / INDEX_FILE
    if not index.is_file():
        return []
    try:
        names = set(json.loads(read_whole(index))["weight_map"].values())
        return sorted(folder / Path(name).name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index} is damaged: download the folder again") from error


def _is_complete(folder: Path) -> bool:
    files = shards(folder)
    if not files:  # parts without an index do not make a whole
        files = [file for file in folder.glob("*.safetensors") if not re.search(r"-\d+-of-\d+\.", file.name)]
    return bool(files) and all(file.is_file() for file in files)


def _download(hub_id: str, licence: str) -> Path:
    from huggingface_hub import constants, errors, snapshot_download

    # What the HTTP library below raises; which library that is depends on the version of huggingface_hub.
    http = importlib.import_module(errors.HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
    page = f"{constants.ENDPOINT}/{hub_id}"
    if not constants.HF_HUB_OFFLINE:
        logger.warning("downloading weights of %s; their licence: %s, see %s", hub_id, licence, page)
    try:
        return Path(snapshot_download(hub_id, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except errors.GatedRepoError as error:
        raise DownloadError(
            f"{hub_id} is gated: sign in at {page}, accept the licence there, then run `hf auth login` or "
            "set HF_TOKEN to a token of yours. `dinocell models` lists open copies of the same weights"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DownloadError(
            f"{hub_id} is not a file or folder here, and not on {constants.ENDPOINT} (or private there): "
            "check the name, or set HF_TOKEN"
        ) from error
    # The last three are what answers of other servers, and unusable proxies and tokens, end in.
    except (OSError, http.HTTPError, http.InvalidURL, ValueError, KeyError, ImportError) as error:
        raise DownloadError(_explain(hub_id, error)) from error


def _explain(hub_id: str, error: Exception) -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return (
            f"{hub_id} is not a file or folder here and not in the cache {constants.HF_HUB_CACHE}, and "
            "HF_HUB_OFFLINE is set: unset it, or copy the cache from a machine with network"
        )
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    reason = (str(cause).splitlines() or [type(cause).__name__])[0]
    if getattr(getattr(cause, "response", None), "status_code", None) in (401, 403):
        advice = "set HF_TOKEN to a token that is valid and may read it"
    elif isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        advice = f"free the cache {constants.HF_HUB_CACHE}, or set HF_HOME to a folder you may write to"
    else:
        advice = (
            "check the network and HTTPS_PROXY, then try again, what is complete is kept; or download the "
            "weights elsewhere and give the file"
        )
    return f"{hub_id} is not a file or folder here and cannot be downloaded ({reason}): {advice}"
