"""The parts of a replay: :mod:`casaprov.replay` puts them together.

To read: ``plan`` decides which calls run; ``inputs`` finds what they start from; ``folders`` and
``work_folder`` are where they run; ``execution`` runs them; ``judge`` compares what they leave with the record;
``report`` holds the verdicts.
"""
