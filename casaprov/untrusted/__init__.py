"""Input from strangers, hostile until proven otherwise.

To read: ``zip_file`` judges and unpacks a zip; ``json_file`` reads JSON within limits;
``table_examiner`` has a confined process look at tables before anything opens them; ``parsing`` holds the limits.
"""
