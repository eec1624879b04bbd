"""The edge to CASA: the only place that imports casatasks, casatools or casaconfig."""
