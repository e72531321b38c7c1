"""The one exception that stands for a user's mistake; the two scripts print it as one line and exit with code 2."""


class UserError(Exception):
    """Bad input. The message is one line that says what is wrong, where, and what is valid."""
