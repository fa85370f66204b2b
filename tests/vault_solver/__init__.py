"""The solver: its arithmetic, processes, files and decisions, and the whole program against a real server."""
