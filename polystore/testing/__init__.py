"""Parts for tests, shipped: strategies, round trips, the simulator, the checker of histories."""

WEAKER = "polystore-weaker-claim"
"""A property of a test: what the database does beyond what its driver claims."""

DEVIATES = "polystore-deviation"
"""A property of a test: the rule that its driver says it breaks, and broke."""

PROMISE = "polystore-promise"
"""A property of a test: the path in the capabilities of the claim that it tries."""
