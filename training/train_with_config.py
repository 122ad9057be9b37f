"""The method paper's script: `dinocell train --config FILE`, the file first."""

import sys

from dinocell.cli import main

if __name__ == "__main__":
    file_first = len(sys.argv) > 1 and not sys.argv[1].startswith("-")
    sys.argv[1:1] = ["train", "--config"] if file_first else ["train"]
    main()
