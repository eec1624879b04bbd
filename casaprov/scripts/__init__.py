"""Python scripts beside notebooks: their cells, the lines that calls came from, the text as it ran, and their run.

To read: ``cells`` divides a script; ``call_sites`` finds the lines of calls; ``main_module`` runs it as plain Python.
"""
