"""The error that means: what the user gave cannot be used."""


class InputError(ValueError):
    """Bad input from the user: a config, a data set, a checkpoint, a folder.

    The message is one sentence that says what was wrong, what was found and what to do.
    The command line prints it without a traceback and exits with code 2.
    """
