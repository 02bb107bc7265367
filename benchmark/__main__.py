"""`python -m benchmark`."""

from benchmark.app import entry

if __name__ == "__main__":
    entry()
