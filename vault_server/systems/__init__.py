"""The systems that stand on the exchange. None imports another."""
