"""What a side may be asked for: rates, calls at a time, and backing off where it asks for less."""
