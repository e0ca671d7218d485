"""What a person or another machine gave us and we cannot use: exit code 2, one message."""


class InputError(Exception):
    """The message names the thing, its value and what is allowed."""
