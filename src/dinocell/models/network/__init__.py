"""The network in PyTorch: backbone, decoder, and DINOCell made of both."""

from dinocell.extras import import_extra

import_extra("torch", extra="torch", purpose="a network in PyTorch")
