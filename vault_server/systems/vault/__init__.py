"""The vault: time-lock puzzles, two solvers each (seed 000)."""
