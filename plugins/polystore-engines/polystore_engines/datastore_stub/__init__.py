"""Cloud Datastore v1 over gRPC, served from Google's own Python stub."""
