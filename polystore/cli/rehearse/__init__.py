"""``polystore rehearse``: every stage, forwards and backwards, on a sample and on local engines."""
