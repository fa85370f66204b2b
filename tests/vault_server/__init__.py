"""The server below its sockets, package by package."""
