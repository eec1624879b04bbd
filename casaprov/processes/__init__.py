"""Child processes, signals, and casaprov's own threads.

To read: ``worker`` calls functions in a child process and ends it in time; ``signals`` hears of requests to
end; ``exempt`` marks the threads that nothing holds back; ``starts`` notes when processes were started; ``descriptors``
says when open files are few.
"""
