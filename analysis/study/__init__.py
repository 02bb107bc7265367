"""A study in which people rate explanations of students: questionnaires, and what the filled ones say."""
