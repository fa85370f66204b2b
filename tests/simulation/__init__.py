"""A fleet of solvers, some of them liars, at a real server: what `scripts/simulate` runs, and its tests."""
