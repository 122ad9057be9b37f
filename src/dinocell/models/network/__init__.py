"""The network in PyTorch: backbone, decoder, and DINOCell made of both."""
