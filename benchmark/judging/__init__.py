"""`python -m benchmark judge`: a teacher compares the explanations of two finished cells, question by question."""
