"""One YAML file describes a run; the environment and the command line override it.

`load.load` reads all three and checks them; what it refuses, it refuses with the key, the value and what is
allowed. Keys to the bucket never stand here: they come from the environment (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, or the usual AWS chain) or, for the embedded server, from its key file.

Nothing is imported here: `model` and `load` need torch (a second), `storage` does not.
"""
