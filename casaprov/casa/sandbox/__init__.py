"""CASA in confined processes."""
