"""The archive: deposits of crates and notebooks, from the form to publication.

To read: ``deposits`` holds the states and the transitions between them, ``settings`` the operator's file. ``tables``
keeps the rows of deposits; ``storage`` keeps the files for ever. ``web`` receives deposits, ``work`` checks, keeps,
replays and publishes them, ``identity`` finds the owner of a token, ``publication`` and ``pages`` serve readers and
harvesters. ``app`` composes all of them. A replay is a child process: nothing here imports CASA or a kernel.
"""
