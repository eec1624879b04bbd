"""Output of task calls in a notebook: a live line, the log, tables, pictures.

To read: ``task_display`` is the whole; ``task_output`` shows a call from its begin to its end; ``cell_block`` is the
one output that all calls of a cell share, ``log_block`` its text; ``captured_output`` takes text that C++ prints;
``task_tables`` makes tables of return values, and ``task_values`` folds long ones; ``task_errors`` shows errors in a
line; ``figures`` shows pictures.
"""
