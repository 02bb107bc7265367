"""Hydra finds plug-ins in packages of this namespace; our plug-in is in `cells`."""
