"""What the base of `student=tiny_warm` was trained on, and how: `python -m benchmark.pretraining` makes it anew."""
