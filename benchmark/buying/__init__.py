"""Buying annotations: what may be bought within a budget, and what it is charged."""
