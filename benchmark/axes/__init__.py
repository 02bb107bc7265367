"""The plain choice on every axis, which methods share; what one paper adds lives in its own file in `methods`."""
