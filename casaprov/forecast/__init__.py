"""Runs of the saved notebook from the top, worked out from its record without running anything.

To read: ``saved_runs`` finds the runs of the saved cells in a record, ``names`` the cells that Python code ties together;
``fresh_run`` walks through the cells; ``rerun`` finds the cells that have to run again.
"""
