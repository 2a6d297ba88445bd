-- Deliveries and attempts of all generations: late evidence of an old one counts.
SELECT n.id, n.tenant, n.generation, n.revision, n.status, n.failure_reason, n.failures, n.expires_at,
       n.finished_at, n.cancel_requested_at,
       (SELECT jsonb_agg(jsonb_build_object('id', d.id, 'channel', d.channel, 'step', d.step,
                 'generation', d.generation, 'status', d.status, 'failure_reason', d.failure_reason,
                 'failure_args', d.failure_args, 'is_skipped_by_rule', d.is_skipped_by_rule,
                 'awaited_evidence', d.awaited_evidence))
          FROM delivery d WHERE d.notification_id = n.id) AS deliveries,
       (SELECT jsonb_agg(to_jsonb(a)) FROM attempt a WHERE a.notification_id = n.id) AS attempts
  FROM notification n WHERE n.id = :id AND n.tenant = :tenant
