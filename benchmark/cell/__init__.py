"""One cell as a value: what it is made of, how it is read from a config, and its id."""
