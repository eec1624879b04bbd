"""The audit: what tasks do to files, as the kernel saw it, against what the record says."""
