"""Texts from elsewhere, parsed within limits of memory and time; below everything that reads answers and files.

To read: ``bounded_json``.
"""
