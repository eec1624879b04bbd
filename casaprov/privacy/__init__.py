"""Privacy of a crate: secrets stop an export or are masked; home folder and host of the author are left out.

``secrets`` finds tokens and passwords in text and bytes; ``scan`` looks for them in all that is to be packed.
``masks`` replace texts alike everywhere; ``masked_files`` writes masked copies of the files, with new digests.
"""
