"""What lies and runs under a root: `carousel status`, `stop` and `clean`."""
