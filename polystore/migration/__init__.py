"""The migration of a group of collections from one database to another, as sans-I/O procedures."""
