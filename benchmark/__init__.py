"""The engine: one corridor from a dataset's questions to a test score. It imports neither `methods` nor `analysis`."""

ENGINE_VERSION = 3
"""Part of every cell's identity; raised whenever a change of the engine moves numbers."""
