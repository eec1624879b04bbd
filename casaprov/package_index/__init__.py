"""The edge to the Python Package Index: the hashes of the files of distributions.

To read: ``hashes``.
"""
