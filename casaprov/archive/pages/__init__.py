"""Pages for readers: landing page, tombstone, list of crates, and the files of a crate.

To read: ``routes`` lists the addresses, ``published`` finds what a reader may see. ``landing`` and ``index`` are the
pages, ``rendering`` fills their templates; ``downloads`` serves files, ``ranges`` answers requests for parts of them.
"""
