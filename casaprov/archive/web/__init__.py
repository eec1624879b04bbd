"""The archive over HTTP, for depositors.

To read: ``archive`` is the context that every handler is given, ``handler`` their base (identity, threads, headers),
``problems`` the errors as problem+json.
"""
