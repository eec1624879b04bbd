"""Drawings of a record: calls as rows, one under the other, and files as lines between them.

To read: ``rows`` folds a record into the rows and lines that a drawing has; ``svg`` draws them without any other
program; ``dot`` and ``mermaid`` write them for Graphviz and Mermaid; ``graph_json`` writes all calls and states for
programs; ``draw`` writes the file of a format.
"""
