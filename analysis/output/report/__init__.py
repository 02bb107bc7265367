"""The report: one HTML page that a reviewer reads from top to bottom. One file per group of sections."""
