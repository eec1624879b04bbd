"""casacore tables and FITS files as casaprov sees them, whatever library reads them.

To read: ``tables`` and ``fits`` are the seams to the readers; ``keywords`` says which keywords are content, and how they are
written in a digest; ``virtual_models``, ``fits_tables`` and ``flag_versions`` know what CASA leaves uninitialised or dated.
"""
