"""Which window stands at which position of an epoch, and whose it is; cursors into that order."""
