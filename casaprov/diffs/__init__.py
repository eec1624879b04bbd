"""Two runs compared by their records: calls, parameters, inputs and products that differ, and the first difference.

To read: ``run`` is a record as this package sees it; ``matching`` pairs the calls of two runs; ``states`` and
``parameters`` find what differs between two calls; ``products`` compares two recorded states; ``causes`` follows
differences back to their causes; ``run_diff`` does all of it; ``model`` is what it returns; ``wording`` and ``page`` show it.
"""
