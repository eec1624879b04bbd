"""The CASA that is installed: its data, its log, its environment."""
