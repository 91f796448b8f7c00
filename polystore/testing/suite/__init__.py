"""The conformance suite: what the contract promises, tried on any driver that has a harness.

    polystore conformance memory
    pytest --pyargs polystore.testing.suite --polystore=memory

It needs ``polystore-core[conformance]``. How a driver joins it: docs/writing-a-driver.md.
"""
