"""The methods: one file per paper. Each is found through the `_target_`s of its YAML preset in `conf/method`."""
