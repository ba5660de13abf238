"""`python -m pipelines.cli`: the `carousel` command where its script is not installed."""

from pipelines.cli.main import main

main()
