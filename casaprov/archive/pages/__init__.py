"""Pages for readers: landing page, tombstone, list of crates.

To read: ``routes`` lists the addresses.
"""
