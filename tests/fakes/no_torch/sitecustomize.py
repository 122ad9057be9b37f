"""Python of an environment without PyTorch, for it and all processes that it starts."""

import sys

MISSING = {"accelerate", "huggingface_hub", "onnx", "onnxscript", "peft", "torch"}


class _Missing:
    """Finder that finds none of them."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, _Missing)
