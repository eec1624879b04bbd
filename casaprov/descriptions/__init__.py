"""Descriptions of a crate in the words of other communities.

``datacite`` is for repositories, ``codemeta`` for software; ``observed_rows`` (ObsCore) and ``links`` (DataLink) are for
archives of the Virtual Observatory; ``extras`` are files in the crate: the environment (``environment``), CodeMeta and
REANA (``workflow``). Each is derived from the records and the list of contents. ``origins`` names the data that the crate came from.
"""
