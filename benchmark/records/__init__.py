"""What is on disk about cells: records, tables, journals of unfinished cells, logs."""
