"""Zips and JSON from strangers."""
