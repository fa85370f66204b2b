"""The hive's doors on the HTTP port: REST for agents, pages for people. They know messages, and no system."""
