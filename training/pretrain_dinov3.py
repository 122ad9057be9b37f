"""The method paper's script: `dinocell pretrain` with the same options."""

import sys

from dinocell.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["pretrain"]
    main()
