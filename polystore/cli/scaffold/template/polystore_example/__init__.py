"""The example driver of polystore. Importing it imports no client library."""
