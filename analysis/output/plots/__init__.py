"""Pictures of finished cells: one file per kind, each with the plotted numbers as a data frame."""
