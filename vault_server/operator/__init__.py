"""The operator's side of `vault-server`: commands that ask a running server, or look at its database file."""
