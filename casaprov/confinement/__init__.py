"""Confinement of processes that open what came from outside: what they may do, and how much.

To read: ``kernel_rules`` has the Linux kernel enforce what a process may do; ``reader`` confines a process that only
reads; ``worker`` is the program of such a process.
"""
