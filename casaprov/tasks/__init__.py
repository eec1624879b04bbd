"""Task calls, and what each task does to files."""
