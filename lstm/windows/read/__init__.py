"""Blocks of rows in memory, within a budget, and batches out of them; what that will cost beforehand."""
