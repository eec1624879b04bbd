"""Publication: the places where a crate appears, and the routes that serve it to readers and harvesters.

To read: ``publishers`` lists the places in order, ``routes`` all addresses. ``addresses`` gives the URLs of a crate;
``datacite``, ``linkset`` and ``receipt`` describe it in JSON.
"""
