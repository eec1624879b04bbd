"""Readers of tables, images and FITS files, one foreign library per file.

To read: ``installed`` chooses a reader and opens a digester; ``blocks`` and ``library_table`` hold what both table readers
share; ``casacore_tables``, ``casatools_tables``, ``fits`` and ``pictures`` read; ``products`` compares in a child process, and
``digest_worker`` answers the calls of child processes, which are confined before they load it.
"""
