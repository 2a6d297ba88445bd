-- The merge happens under the lock of the row, so concurrent changes cannot exceed the limits together.
UPDATE recipient SET contact = CAST(:contact AS jsonb), address_hashes = CAST(:address_hashes AS jsonb),
       locale = :locale, timezone = :timezone, attributes = CAST(:attributes AS jsonb), updated_at = now()
 WHERE tenant = :tenant AND recipient_id = :recipient_id
RETURNING recipient_id, contact, locale, timezone, attributes, created_at, updated_at,
         (octet_length(attributes::text) > :max_attribute_bytes
          OR (SELECT count(*) FROM jsonb_path_query(attributes, 'strict $.**')) > :max_attribute_values) AS too_large
