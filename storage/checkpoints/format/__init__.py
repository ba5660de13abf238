"""What lies in the bucket: the repository's objects, their names and bytes, read and written one at a time.

In words: docs/checkpoint-format.md. `shelf` is the way in.
"""
