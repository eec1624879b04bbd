"""Parts of the recorder: from the beginning of a call to the last line of its record.

The user's code does not wait for digests. So records are made asynchronously, and four promises hold:

1. A call with pending digests is written twice: by stamps when it ends, by digests when they are known.
2. Final records are written in the order in which their calls ended, by one thread.
3. A writer to a path waits for the records that read it.
4. If stamps moved before their files were digested, the record says so.

Reading order, with the promises that each module keeps: ``open_call`` (a call under way, and what it changed),
``explanations`` (sentences about changes by no call), ``path_states`` (the present state of each path),
``provisional_states`` (states by stamps: 1), ``record_writer`` (the lines of a call: 1, 4), ``finish_queue`` (the
thread, and waiting for it: 2, 3), ``write_guard`` (waiting of code that is no call: 3). Beside these: ``attribution`` (who made a change that no call declares),
``archive_checksums`` (checksums of inputs), ``activities`` (functions, blocks and programs recorded like tasks), and
``late_states`` (a record completed after its sessions). :mod:`casaprov.recorder` puts them together.
"""
