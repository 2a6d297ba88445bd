SELECT COALESCE((SELECT sum(size) FROM (
         SELECT DISTINCT ON (sha256) size FROM attachment WHERE tenant = :tenant) contents), 0)
       + :row_size * (SELECT count(*) FROM attachment WHERE tenant = :tenant) AS stored,
       EXISTS (SELECT 1 FROM attachment WHERE tenant = :tenant AND sha256 = :sha256) AS has_content
