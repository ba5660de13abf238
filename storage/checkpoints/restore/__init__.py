"""From a commit back to tensors: choose a complete one, fetch its packs, decode, check; or only compare."""
