SELECT pg_advisory_xact_lock(hashtext('tocsin digest collection'))
