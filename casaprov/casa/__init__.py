"""The edge to CASA: its data and versions, its tasks and tools, its plots, and CASA in confined processes.

To read: ``opening`` opens what the first call of a process needs, and ``session`` puts a recorder together;
``startup`` gives a kernel the names of CASA's own shell, and ``absent_tasks`` stands in for tasks that are missing;
``task_help`` and ``task_module`` read descriptions of tasks; ``checks`` are those of ``casaprov doctor``;
``replaying`` is the CASA of a replay. ``installed`` finds the installed CASA, ``hooks`` wraps tasks and tools,
``plots`` draws without a window, ``sandbox`` runs tasks in confined processes.
"""
