"""The parts of `python -m benchmarks.windows`: a module for each thing that is measured."""
