"""Engines that run a network: PyTorch, ONNX Runtime or OpenVINO, all behind one contract."""
