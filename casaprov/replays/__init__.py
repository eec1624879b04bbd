"""The parts of a replay: plan, inputs, work folder, report."""
