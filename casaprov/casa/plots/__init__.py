"""plotms and imview without a window."""
