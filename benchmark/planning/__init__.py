"""Shows what a command would do and whether it can: checks, worst cases, costs and times. Buys and trains nothing."""
