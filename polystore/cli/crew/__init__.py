"""Application processes under a walk through the stages: what the demo and a rehearsal share."""
