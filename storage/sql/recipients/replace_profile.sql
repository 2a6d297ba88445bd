-- xmax is 0 in a row that this statement inserts and not in one that it finds.
WITH recipient_row AS (
  INSERT INTO recipient (tenant, recipient_id, contact, address_hashes, locale, timezone, attributes, created_at,
         updated_at)
  VALUES (:tenant, :recipient_id, CAST(:contact AS jsonb), CAST(:address_hashes AS jsonb), :locale, :timezone,
         CAST(:attributes AS jsonb), now(), now())
  ON CONFLICT (tenant, recipient_id) DO UPDATE SET contact = EXCLUDED.contact,
         address_hashes = EXCLUDED.address_hashes, locale = EXCLUDED.locale, timezone = EXCLUDED.timezone,
         attributes = EXCLUDED.attributes, updated_at = now()
  RETURNING recipient_id, contact, locale, timezone, attributes, created_at, updated_at, xmax = 0 AS created,
         (octet_length(attributes::text) > :max_attribute_bytes
          OR (SELECT count(*) FROM jsonb_path_query(attributes, 'strict $.**')) > :max_attribute_values) AS too_large
), preference AS (
  INSERT INTO user_preference (tenant, user_id, global_channel_opt_in, type_channel_preferences, updated_at)
  SELECT :tenant, recipient_id, '{}', '{}', now() FROM recipient_row
  ON CONFLICT DO NOTHING
)
SELECT * FROM recipient_row
