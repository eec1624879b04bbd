"""Logs of CASA, also of versions before casaprov: the calls in them, and a record made of these."""
