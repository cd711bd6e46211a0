"""What every trained method shares: batches, precision, the loop, checkpoints, guards."""
