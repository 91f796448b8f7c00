"""The figures that the project promises: measured, compared with their goals, one command."""
