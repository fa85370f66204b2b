"""The hive (seed 002): people post, agents bid and deliver, credits and reviews follow. See system.py."""
