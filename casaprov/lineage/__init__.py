"""Questions about a record: which call used and left which state, in which order, drawn or as PROV.

To read: ``path_history`` follows every path through the calls; ``graph`` answers questions about calls and
states, from that history; ``cell_order`` finds calls out of order and stale products; ``saved_cells`` compares
calls with the saved notebook; ``drawing`` and ``prov`` write the graph in the formats of other programs;
``inspection`` is what ``casaprov inspect`` shows of all this.
"""
