"""The checks of a crate from outside. ``validation`` makes them all; each other module holds one kind.

``files`` holds files, parameters and manifest against the records, ``statements`` the description, ``introduction``
the README, ``trees`` the digest trees. A finding is an Issue, or a Note about an addition by others.
"""
