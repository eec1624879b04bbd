"""Questions about a record: what came from what, in which order, drawn or as PROV."""
