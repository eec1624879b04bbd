"""The edge to notebooks: IPython display, nbformat, nbclient."""
