"""Readers of tables, images and FITS files, one foreign library per file.

To read: ``installed`` chooses a reader and opens a digester; ``blocks`` bounds memory; ``casacore_tables``,
``casatools_tables`` and ``fits`` read; ``digest_worker`` is what worker processes run.
"""
