"""Harvesters: OAI-PMH.

To read: ``oai`` is the protocol, ``oai_records`` the formats of its records.
"""
