"""Arithmetic on arrays that knows nothing of tables: permutations, running sums, strided copies, times."""
