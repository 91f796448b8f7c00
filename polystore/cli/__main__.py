"""``python -m polystore.cli``: the command line, where no console script is at hand."""

from polystore.cli import main

main()
