"""The contract that every method must keep, as checks that run on any preset: the command `check-method`."""
