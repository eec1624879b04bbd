"""The installed CASA: its data, its environment, its log.

To read: ``data`` finds the data and imports casatasks with them; ``environment`` describes versions, machine and
repository for the record; ``log`` reads the part of CASA's log that one call wrote.
"""
