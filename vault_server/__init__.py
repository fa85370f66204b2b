"""The server: endpoints, dispatcher, storage and the systems that stand on them."""
