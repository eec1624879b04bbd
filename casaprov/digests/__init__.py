"""Content digests of products: their protocol, and the workers that compute only the parts that changed.

To read: ``measurement`` digests any product; ``table`` and ``fits`` digest its parts, and ``sketch`` describes their
numbers; ``tree`` is the form in which all that is kept, and ``json_fields`` checks it. ``digester`` serves a session:
``parallel`` has ``table_parts`` read by workers, ``memory_cache`` and ``disk_cache`` keep what was measured.
"""
