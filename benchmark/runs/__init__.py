"""Cells on disk: who they are, what is written about them, which exist."""
