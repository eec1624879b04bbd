"""Records as frozen values, their JSON, and the rules that they obey.

To read: ``model`` names the records; ``values`` writes any Python value as JSON; ``serialise`` turns records
into JSON values and back; ``schema`` and ``consistency`` check records from outside; ``wording`` holds times
and sentences.
"""
