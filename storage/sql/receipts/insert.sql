-- The tenant only decides the order in which receipts are applied. Two queries, so that each uses its own index. A
-- conflict is a repeated receipt, or another one with a used token.
INSERT INTO receipt (id, tenant, provider, kind, attempt_id, provider_message_id, reason, occurred_at, received_at, raw,
                     attempt_count, next_attempt_at, token)
SELECT x.id,
       COALESCE((SELECT a.tenant FROM attempt a WHERE a.id = x.attempt_id),
                (SELECT a.tenant FROM attempt a
                  WHERE x.attempt_id IS NULL AND a.provider = x.provider
                    AND a.provider_message_id = x.provider_message_id LIMIT 1),
                CAST(:no_tenant AS uuid)),
       x.provider, x.kind, x.attempt_id, x.provider_message_id, x.reason, x.occurred_at, now(), x.raw, 0, now(), x.token
  FROM jsonb_to_recordset(CAST(:receipts AS jsonb)) AS x(id uuid, provider text, kind text, attempt_id uuid,
       provider_message_id text, reason text, occurred_at timestamptz, raw jsonb, token uuid)
ON CONFLICT DO NOTHING RETURNING id
