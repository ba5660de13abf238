"""Runs of a repository: their names, how they stand, and what a flow needs of one."""
