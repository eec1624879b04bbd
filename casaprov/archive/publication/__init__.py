"""Publication: the places where a crate appears, and the routes that serve it to readers and harvesters.

To read: ``publishers`` lists the places in order, ``routes`` all addresses. ``metadata/`` describes a crate, ``receipt``
its deposit. ``git/`` commits notebooks and serves clones, ``vo/`` is DataLink and the table of crates, ``harvest/``
OAI-PMH; ``object_store`` keeps a second copy.
"""
