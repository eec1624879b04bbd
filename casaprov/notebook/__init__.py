"""The edge to notebooks: .ipynb files are run, saved, indexed and exported; Jupyter Server.

To read: ``execute`` runs a notebook, cell by cell with ``cell_run``; ``ipynb`` reads and writes the file. ``bundle``
is the short form of a call in an output, ``index`` the one in the metadata; ``server`` updates it on every save, by
means of ``saving`` and ``journals``. ``notebook_name`` finds the notebook of a kernel; ``adopt_sessions`` brings
records along after a rename. ``export`` packs a crate, ``subject`` opens the record for ``casaprov inspect``,
``kernelspec`` installs the CASA kernel.
"""
