"""The preview of a crate: one HTML page without scripts, for a browser, a phone, paper and a screen reader.

``page`` fills the template with facts of the records; ``png`` encodes the pictures.
"""
