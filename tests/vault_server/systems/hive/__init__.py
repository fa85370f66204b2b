"""The hive's operations, rules and rows."""
