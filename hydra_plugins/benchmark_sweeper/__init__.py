"""Hydra finds plug-ins in packages of this namespace; ours lives in `cells`."""
