"""The Virtual Observatory: DataLink and tables of crates.

To read: ``tables`` makes the rows of a crate, ``dachs`` writes them into a DaCHS, ``datalink`` answers where there is none.
"""
