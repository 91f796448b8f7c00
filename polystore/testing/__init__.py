"""Parts for tests, shipped: strategies, round trips, the simulator, the checker of histories."""
