"""``python -m dinocell`` is the command line."""

from dinocell.cli import main

main()
