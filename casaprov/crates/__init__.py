"""The RO-Crate: which files go in, how it is described, and the annotations of others.

To read: ``layout`` says where everything lies, ``payload`` decides what is shipped. ``graph`` describes the
crate as JSON-LD made of ``nodes``: ``actions`` for calls and sessions, ``entities`` for files and their states;
``readme`` introduces it to people. ``writer`` writes all this into a zip. ``stored_records`` reads the records
back, ``annotation`` adds statements to a crate, and ``checking`` goes through every check of one from outside.
"""
