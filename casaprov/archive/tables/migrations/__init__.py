"""Migrations of the tables, applied by alembic: ``env`` runs them, ``versions`` holds one file for each step."""
