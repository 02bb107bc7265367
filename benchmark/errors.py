"""The errors that users see; each message says what was wrong, with the values, and what to do."""


class ConfigError(Exception):
    """Wrong input, found before any work: printed as one line, exit status 2."""


class ModelError(ConfigError):
    """A model cannot be used as it is. It refuses the cells that use the model, and no other cell of a sweep."""


class DataError(ConfigError):
    """A dataset or a recording of replies has an error, or cannot be read."""


class TeacherError(Exception):
    """A live teacher does not answer, or stopped answering. The input is right, and a later run may succeed."""


class LeakError(Exception):
    """Code tried to read test data or gold answers that it must not see."""


class SweepFailed(Exception):
    """At least one cell of a sweep failed; the others were run. Exit status 1."""


def in_a_line(error: BaseException) -> str:
    """`TypeName: first line of the message`; the type's name alone where there is no message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
