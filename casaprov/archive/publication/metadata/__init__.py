"""Descriptions of a published crate.

To read: ``addresses`` gives its URLs, ``datacite`` describes it by DataCite, ``linkset`` by FAIR Signposting.
"""
