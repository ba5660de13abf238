"""Which windows there are: splits, dropped ones, weights, superblocks; their hash is the plan id."""
