"""Identity: from a token to a person.

To read: ``oidc`` finds the person of a token of an OpenID provider, ``issuer`` fetches what the provider publishes,
``claims`` judges what a token says. ``local_tokens`` serves an archive without an OpenID provider.
"""
