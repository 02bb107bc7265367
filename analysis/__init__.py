"""Tables over the records of finished cells.

Reads files only: never imports torch, transformers or `methods`, and of `benchmark` only the schema of the records.
"""
