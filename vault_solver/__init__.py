"""The worker that solves. Imports nothing of ours but `protocol`."""
