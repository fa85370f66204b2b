"""The SDK and the command line for those who ask. Imports nothing of ours but `protocol`."""
