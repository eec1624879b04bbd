"""Content digests of products: what they cover, and how workers compute only what changed.

To read: ``measurement`` digests any product; ``table`` and ``fits`` digest what is inside, and ``sketch`` keeps what numbers
look like; ``tree`` is the form in which all that is kept, and ``json_fields`` checks it. ``digester`` serves a session:
``parallel`` has ``table_parts`` read by workers, ``memory_cache`` and ``disk_cache`` keep what was measured.
"""
