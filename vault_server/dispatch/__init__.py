"""The path of one message, and of passing time. Never imports a system."""
