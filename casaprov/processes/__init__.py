"""Child processes, signals, and casaprov's own threads."""
