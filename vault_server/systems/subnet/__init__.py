"""The subnet (seed 001): validators ask, one miner answers, its peers judge by blind votes. See system.py."""
