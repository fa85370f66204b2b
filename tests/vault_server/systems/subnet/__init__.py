"""The subnet without sockets."""
