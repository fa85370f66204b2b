"""What may be said: fields at their edges, messages in both formats, every byte that is signed."""
