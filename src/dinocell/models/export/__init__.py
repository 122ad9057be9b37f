"""Models as ONNX: the graph of a checkpoint, whole files for other programs, and a cache of both."""
