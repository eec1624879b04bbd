"""CASA in confined processes, for a replay.

To read: ``executor`` runs calls in a child process; ``confined_server`` confines that process, which then
runs ``task_server``. ``product_readers`` measures and compares products in processes that ``confined_reader`` confines.
``confine`` holds the rules of Landlock and seccomp.
"""
