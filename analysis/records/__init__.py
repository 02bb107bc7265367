"""Reading: records and manifests of a results folder as checked values."""
