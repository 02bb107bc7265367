"""Datasets as `Example`s, and families of tasks: how a question is shown, an answer read, and when it is right."""
