"""The root of every error that a user can mend."""


class UserError(Exception):
    """A mistake in input, config or environment; the message says what, the numbers, and the remedy."""
