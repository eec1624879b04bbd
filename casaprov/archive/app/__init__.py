"""The composition: everything of the archive, put together from its settings.

To read: ``composition`` makes the archive and its tornado application.
"""
