"""Checkpoints of any PyTorch model in a Carousel repository, and files of other tools."""
