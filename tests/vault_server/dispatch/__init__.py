"""The path of one message and of passing time, with orders of its own on a real database."""
