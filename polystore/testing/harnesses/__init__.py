"""The harnesses of the built-in drivers."""
