"""What all systems stand on."""
