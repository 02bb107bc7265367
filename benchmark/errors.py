"""The errors that people meet; each message says what was wrong, with the values, and what to do."""


class ConfigError(Exception):
    """Wrong input, found before any work: printed as one line, exit status 2."""


class DataError(ConfigError):
    """A dataset or a recording that cannot be used as it is."""


class TeacherError(Exception):
    """A live teacher that does not answer, or no longer: nothing is wrong with the input, and later it may."""


class LeakError(Exception):
    """Test data or gold answers were touched by something that must not see them."""


class SweepFailed(Exception):
    """At least one cell of a sweep failed; the others were run. Exit status 1."""
