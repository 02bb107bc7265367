"""What people see on a terminal: progress bars, Markdown tables, quiet libraries."""
