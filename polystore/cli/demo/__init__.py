"""``polystore demo``: a live application moves from one database to another, and is checked."""
