"""Minimal re-computation: the results of calls, kept in a store and restored instead of being computed again.

To read: ``store`` keeps results; ``restore`` puts them back, by the steps of ``exchange``, which survive a kill.
"""
