"""What all systems stand on: encryption at rest, durable pushes, deadlines, idempotency, who takes part."""
