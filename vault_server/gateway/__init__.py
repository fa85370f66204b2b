"""Sockets: listening, the handshake, connections, and who is connected."""
