"""Where every series' rows lie in a snapshot: keys are scanned once, what was found is kept in the bucket."""
