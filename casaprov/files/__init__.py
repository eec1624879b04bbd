"""Files and folders as the system tells of them: what may be opened, stamps, snapshots, inotify."""
