"""The Virtual Observatory: DataLink and tables of crates.

To read: ``datalink`` answers about identifiers and writes the table that DaCHS imports.
"""
