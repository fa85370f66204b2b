"""The vault without sockets."""
