"""Work on deposits: checking, keeping, replaying, publishing.

To read: ``worker`` takes jobs from the rows of deposits and ends them; ``checking`` is the stages of a check,
``about`` the description of a crate that they leave behind, ``replaying`` runs ``casaprov replay`` as a child with
``limits``, in a folder of ``scratch``; ``outcome`` decides what follows from a verdict.
"""
