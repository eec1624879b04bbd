"""Confinement of processes that open files from outside: the rules of the kernel, and limits of use.

To read: ``kernel_rules`` has the Linux kernel enforce what a process may do; ``reader`` confines a process that only
reads; ``worker`` is the program of such a process;
``limits`` are the most that a process may use, and ``watch`` tells of one that uses more: ``group_use`` and ``disk_use``
look at it.
"""
