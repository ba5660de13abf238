"""Where every series' rows lie in a snapshot: its keys are scanned once, and kept in the bucket."""
