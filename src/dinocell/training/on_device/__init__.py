"""Data and augmentation on the device: images stay there, and whole batches of crops are drawn at once."""
