"""DINOCell: cell instance segmentation with a DINOv3 backbone, a distance map and a watershed.

Names are loaded when first used (``__init__.pyi`` lists them), so that importing the package loads no torch.
The rooms, in the order in which data flows through them:

- `dinocell.io`: images, label images, tables; which planes of a file are wanted; readers, one file a format
- `dinocell.preprocess`: file values to 8-bit gray
- `dinocell.models`: named variants, checkpoints, published weights, the network, export
- `dinocell.inference`: image to labels; engines
- `dinocell.large`: images bigger than memory
- `dinocell.postprocess`: labels to distance map and back
- `dinocell.measure`: numbers of every cell
- `dinocell.results`: files of cells, one module a format
- `dinocell.batch`: many images
- `dinocell.experiments`: tables over many images
- `dinocell.editing`: correction by hand, with undo
- `dinocell.metrics`: scores of a segmentation
- `dinocell.evaluation`: scores of data sets, search for settings, reports, other tools
- `dinocell.reports`: charts, pictures, tables
- `dinocell.datasets`: annotated images, one module a format, and the store
- `dinocell.synthesis`: images of cells drawn by rules, with their labels
- `dinocell.training`: training, fine-tuning, pretraining
- `dinocell.workers`: processes and clusters
- `dinocell.cli`: the command line, one file a command
- `dinocell.napari`: the plugin for napari
"""

import lazy_loader

from dinocell.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
