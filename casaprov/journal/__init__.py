"""Journals: the record of each session, line by line, safe against crashes.

Reading order: ``folder`` (where a journal and what belongs to it lie), ``writer`` (how a session writes its lines),
``reader`` (what the lines of one session say), ``document`` (all sessions of a notebook), ``kept_states`` (copies of what
no task can make again), ``changed_parts`` (where two states of a table differ).
"""
