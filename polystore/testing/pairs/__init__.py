"""Two real databases and a migration between them: what the pair level of the suite works on.

The processes are those of the simulator, which owns their time, order and deaths; the calls reach
the databases that the harnesses of two drivers bring.
"""

from polystore.testing.pairs.pair import Pair
from polystore.testing.pairs.stand import NAMES, Stand
from polystore.testing.pairs.way import PLACES, WAY

__all__ = ["NAMES", "PLACES", "WAY", "Pair", "Stand"]
