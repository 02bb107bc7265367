"""The command line of the analysis: one file per kind of command."""
