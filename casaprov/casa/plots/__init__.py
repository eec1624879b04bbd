"""plotms and imview without a window.

To read: ``headless`` changes a call so that it draws into a file, and runs it; ``kernel_plots`` does so in a kernel,
by means of ``server``, the process that keeps the programs. ``programs`` starts and ends them, ``appimages`` finds and
unpacks them, ``screen`` gives them an X server, ``old_protobuf`` loads their messages. ``checks`` are those of
``casaprov doctor``.
"""
