"""casacore tables and FITS files as casaprov sees them, whoever reads them."""
