"""Parts for tests, shipped: strategies, round trips, the simulator, the checker of histories."""

WEAKER = "polystore-weaker-claim"
"""A property of a test: what the database does beyond what its driver claims."""
