"""Models as ONNX: the graph of a checkpoint, whole files for other programs, and a cache of both."""

from dinocell.extras import import_extra

import_extra("torch", extra="export", purpose="export")
