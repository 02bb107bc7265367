"""How a student, and the teacher, are measured."""
