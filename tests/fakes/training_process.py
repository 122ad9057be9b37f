"""Training run that prints every step and every epoch; resumed where there is a checkpoint."""

import sys
from pathlib import Path

import torch

from dinocell.io.settings_files import read_settings
from dinocell.training import TrainConfig, training_steps

if __name__ == "__main__":
    torch.set_num_threads(1)
    for event in training_steps(read_settings(TrainConfig, Path(sys.argv[1])), resume=True):
        sys.stdout.write(f"{event}\n")
        sys.stdout.flush()
