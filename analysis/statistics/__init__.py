"""Numbers from cells: which cells belong together, their means, intervals and references."""
