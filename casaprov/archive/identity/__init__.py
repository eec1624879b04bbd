"""Identity: from a token to a person.

To read: ``local_tokens`` serves an archive without an OpenID provider.
"""
