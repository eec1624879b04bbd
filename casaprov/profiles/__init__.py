"""Edge: roc-validator, which checks crates against the profiles of RO-Crate; other people wrote it and its rules.

``official`` asks it; ``validator`` is the confined child process that it runs in, without a network.
"""
