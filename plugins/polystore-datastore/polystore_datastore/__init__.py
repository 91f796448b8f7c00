"""The Cloud Datastore driver of polystore. Importing it imports no SDK."""
