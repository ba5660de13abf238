"""One script per claim: `python -m benchmarks.NAME [--quick]`; JSON on the last line."""
