"""A table as windows take it: what its columns and keys mean, and other views of its rows."""
