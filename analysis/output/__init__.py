"""What people see: tables as Markdown, LaTeX, csv and HTML, their notes, and the state of a sweep."""
