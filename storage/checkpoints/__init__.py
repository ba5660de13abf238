"""Deduplicated checkpoints: chunks, packs, manifests, heads."""
