"""Edge on pyvo: archives of the Virtual Observatory. Nothing here runs unless a user asks for it.

``archives`` says which archive has which columns (``archives.toml``), ``tap`` asks, ``matching`` decides which answer is the
same observation, ``datalink`` lists and fetches files, ``linking`` does all that for the inputs of a notebook.
"""
