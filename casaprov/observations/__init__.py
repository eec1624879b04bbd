"""Facts about observations, from the headers of data. Pure: readers of files are passed in.

``rows`` builds observations from headers of visibilities. ``measurement_sets``, ``fits_visibilities``, ``asdms`` and
``images`` say where each format keeps which fact; ``words`` turns their units and codes into ObsCore's. ``summary`` says
the facts in keywords and times, ``jsonld`` in the entities of a crate.
"""
