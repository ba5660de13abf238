"""The training loop: ranks, checkpoints, exact resume, launch."""
