"""Tests of vault_server/operator."""
