"""The magics ``%casaprov``, ``%%casaprov_sh`` and ``%casahelp``.

To read: ``casaprov_magic`` reads the subcommands of ``%casaprov``; ``overview`` makes its pages, ``packing`` its
crates. ``shell`` records a cell of shell commands. ``casahelp`` answers questions about tasks, drawn by ``help_view``.
"""
