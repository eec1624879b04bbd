"""Git: the notebooks of published crates in a repository for each observation.

To read: ``repositories`` commits and withdraws, ``routes`` serves clones and the addresses that the existing plugin reads,
``gitea`` commits to a server of the institute.
"""
