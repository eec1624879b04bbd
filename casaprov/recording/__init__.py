"""The parts of the recorder: calls under way, states of paths, records that are finished later."""
