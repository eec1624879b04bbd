"""Wrappers around the tasks and tools of CASA, through which their calls are recorded.

To read: ``wrappers`` puts all of them in and takes them out; ``tasks`` wraps tasks, with ``shell`` for those of
casashell; ``tools`` wraps the methods of tools that write; ``tool_lifetimes`` decides in which thread a tool ends.
"""
