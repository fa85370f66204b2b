"""What may be said between two parties: messages, their bytes, keys, sealing and puzzles. No input or output here."""
