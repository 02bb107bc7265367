"""Honey, I Shrunk the Language Model (Hendriks et al., 2025, arXiv 2504.16056).

The teacher criticises its explanations and revises them, and explains wrong choices too (`annotation`). The student
learns answers and explanations as two tasks, to reason, and to follow the reasoning that it is given (`format`). The
paper's text could not be had: docs/methods/honey.md says for every choice whether it is confirmed or reconstructed.
"""
