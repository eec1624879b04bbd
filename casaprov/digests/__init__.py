"""Content digests: what they cover, and how workers compute only what changed."""
