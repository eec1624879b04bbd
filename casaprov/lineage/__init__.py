"""Questions about a record: which call used and left which state, in which order, and as PROV.

To read: ``path_history`` follows every path through the calls; ``graph`` answers questions about calls and
states, from that history; ``cell_order`` finds calls out of order and stale products; ``saved_cells`` compares
calls with the saved notebook; ``prov`` writes the graph in the format of other programs; ``whole_calls`` puts inner calls into their outer ones;
``inspection`` is what ``casaprov inspect`` shows of all this.
"""
