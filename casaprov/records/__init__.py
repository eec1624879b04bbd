"""The words of a record: frozen values, their JSON, and what must hold between them."""
