"""Parts for tests, shipped: strategies, the simulator of a fleet, the checker of histories."""
