"""The command line ``polystore``.

Exit codes: 0 done; 1 the answer is no, or it failed; 2 wrong arguments or configuration; 3 a
database or an engine cannot be reached.
"""

from polystore.cli.commands import main

__all__ = ["main"]
