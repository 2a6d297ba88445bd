INSERT INTO attachment_chunk (tenant, sha256, position, data) VALUES (:tenant, :upload, :position, :data)
