"""The edge to IPython: it follows the cells of a kernel and opens the session that records them.

To read: ``recorded_session`` opens, pauses and settles the session; ``cells`` follows cells, with ``cell_bundle`` for
the output of one, ``requests`` and ``cell_tags`` for what the front end sends, ``read_only_cells`` and
``stale_warnings``, which asks ``order`` where cells stand. ``settings`` holds the settings in force; ``page`` builds tables and texts for outputs; ``notices`` prints sentences.
``display`` shows task calls, ``magics`` answers ``%casaprov``, ``%%casaprov_sh`` and ``%casahelp``.
"""
