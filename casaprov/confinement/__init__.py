"""Confinement of processes that open what came from outside: what they may do, and how much of it.

To read: ``kernel_rules`` has the Linux kernel enforce what a process may do; ``reader`` confines a process that only
reads; ``worker`` is the program of such a process;
``limits`` are the most that a process may use, and ``watch`` tells of one that uses more: ``group_use`` and ``disk_use``
look at it.
"""
