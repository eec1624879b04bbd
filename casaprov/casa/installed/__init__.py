"""The installed CASA: where its data lie, what it runs in, where it logs.

To read: ``data`` finds the data and imports casatasks with them; ``environment`` describes versions, machine and
repository for the record; ``log`` reads the part of CASA's log that one call wrote.
"""
