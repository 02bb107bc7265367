"""Teachers, their prompts and what they cost."""
