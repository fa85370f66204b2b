"""Tests of vault_server.gateway."""
