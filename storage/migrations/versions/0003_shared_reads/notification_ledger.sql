-- The columns of a ledger (`storage/ledgers.py`), for all statements that read one. `row_version` identifies the version
-- of the row that a statement sees. Statements select `*`: a migration that needs other columns creates another view,
-- because running processes would otherwise get another result from a prepared statement.
--
-- Deliveries and attempts are those of all generations: late evidence of an old one counts.
CREATE VIEW notification_ledger AS
SELECT n.id, n.tenant, n.generation, n.revision, n.status, n.failures, n.expires_at, n.finished_at,
       n.cancel_requested_at, n.xmin AS row_version,
       (SELECT jsonb_agg(jsonb_build_object('id', d.id, 'channel', d.channel, 'step', d.step,
                 'generation', d.generation, 'status', d.status, 'failure_reason', d.failure_reason,
                 'failure_args', d.failure_args, 'is_skipped_by_rule', d.is_skipped_by_rule,
                 'awaited_evidence', d.awaited_evidence))
          FROM delivery d WHERE d.notification_id = n.id) AS deliveries,
       (SELECT jsonb_agg(to_jsonb(a)) FROM attempt a WHERE a.notification_id = n.id) AS attempts
  FROM notification n
