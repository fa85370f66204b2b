"""Tests of vault_server/web/hive/pages."""
