"""Apply, broken in every way at every step: `make chaos` runs all of it."""
