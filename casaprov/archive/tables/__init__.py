"""Rows of the archive: deposits, their changes of state, counters, uploads.

To read: ``schema`` is the tables, ``engine`` opens SQLite or PostgreSQL and brings the tables up to date by the
migrations, ``repository`` is every query about deposits, ``jobs`` the queue in their rows, ``uploads`` those that are
not finished.
"""
