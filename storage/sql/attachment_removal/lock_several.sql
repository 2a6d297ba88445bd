SELECT id FROM attachment WHERE tenant = :tenant AND id = ANY(:ids) ORDER BY id FOR UPDATE
