"""Tables over the records of finished cells.

Reads files only: never imports torch, transformers, `methods` or `benchmark`.
"""
