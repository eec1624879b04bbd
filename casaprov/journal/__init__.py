"""Journals: the record of each session, line by line, safe against crashes.

Reading order: ``folder`` (where a journal and what belongs to it lie), ``writer`` (how a session writes its lines),
``reader`` (what the lines of one session say), ``document`` (all sessions of a notebook).
"""
