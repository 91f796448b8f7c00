"""Every stage of a migration between two real databases, forwards and backwards.

    polystore conformance --pair memory sqlite
    pytest --pyargs polystore.testing.suite --polystore-pair=memory:sqlite

A stand is taken along the way of a migration, and every case is tried at every place of it; what
kills processes or needs the beginning of a stage has a stand of its own.
"""
