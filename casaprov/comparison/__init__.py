"""Comparisons of two products, or of a product with its record: the same, or how different.

To read: ``verdict`` is what a comparison returns; ``products`` begins one; ``values`` counts what differs between arrays;
``tables``, ``fits``, ``files``, ``pictures`` and ``listings`` compare products of one kind; ``with_record`` compares with a
digest tree where the original is not at hand.
"""
