-- Wait for a window that is being opened by the old time zone; the collection holds the lock exclusively.
SELECT pg_advisory_xact_lock_shared(hashtext('tocsin digest collection'))
