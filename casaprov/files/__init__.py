"""Files and folders as the system describes them.

To read: ``regular`` opens files, and only files; ``kinds`` tells tables, FITS files and folders apart; ``stamps`` shows
cheaply that files have not changed; ``time_resolution`` says how old a stamp must be to be trusted; ``snapshot`` stamps
all that lies in a folder; ``watched_stamps`` has Linux say which tables need no second look; ``witness`` has it say who
changed files, and ``folder_view`` what changed in a folder between two looks; ``other_names`` knows a folder again that has
a second name; ``copying`` clones files where the file system can; ``disk_names`` spells names as the disk does.
"""
