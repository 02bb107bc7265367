"""What a cell needs while it runs: its models, its state between two deaths, and what its record will say."""
