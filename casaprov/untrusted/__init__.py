"""Input from strangers, hostile until proven otherwise.

To read: ``zip_file`` judges and unpacks a zip; ``json_file`` reads JSON within limits.
"""
