"""Buys annotations within a budget and books what they cost."""
