"""Words on what was found."""

import numpy as np

from dinocell.measure.confidence import doubt_about
from dinocell.napari.sessions import Session
from dinocell.postprocess.small_cells import describe_removed


def describe_found(session: Session) -> str:
    """Return how many cells there are, how sure they are, and doubts about them, in one paragraph.

    Parameters
    ----------
    session : Session
    """
    planes = list(session.planes.values())
    if not planes:
        return ""
    counts = [int(plane.labels.max(initial=0)) for plane in planes]
    targets = sorted({plane.parameters.target for plane in planes})
    where = "" if len(planes) == 1 else f" in {len(planes)} planes"
    parts = [f"{sum(counts)} {' and '.join(targets) if len(targets) == 1 else 'cells and nuclei'}{where}"]
    sure = [plane.table["confidence"] for plane in planes if len(plane.table.get("confidence", ()))]
    mean = float(np.concatenate(sure).mean()) if sure else None
    if mean is not None:
        parts.append(doubt_about(mean) or f"mean confidence {mean:.2f}")
    removed = sum(plane.parameters.removed for plane in planes)
    if removed:
        parts.append(describe_removed(removed, max(plane.parameters.min_size for plane in planes)))
    warnings = list(dict.fromkeys(line for plane in planes for line in plane.parameters.warnings))
    return ". ".join([", ".join(parts), *warnings])
