"""Redis as a driver of polystore. Importing it imports no client library."""
