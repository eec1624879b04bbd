"""Task calls, and the effects of each CASA task on files.

To read: ``calls`` is a call, its result and the protocol that runs it; ``specs`` says which files a task reads
and writes, as ``taskspecs.toml`` lists them; ``entry`` is one line of that table, ``pathnames`` finds file
names in parameters, and ``searches`` finds files by patterns. ``function_code`` is the code of a function that may be
restored like a task.
"""
