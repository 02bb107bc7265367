"""`python -m analysis`."""

from analysis.commands.app import entry

if __name__ == "__main__":
    entry()
