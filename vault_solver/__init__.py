"""The worker that solves time-lock puzzles for a vault server. Imports nothing of ours but `protocol`."""
