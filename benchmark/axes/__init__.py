"""The plain parts for every axis, which methods share; parts of a single paper are in its own file in `methods`."""
