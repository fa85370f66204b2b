"""Stories end to end, over real sockets with real processes."""
