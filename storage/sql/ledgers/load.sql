SELECT * FROM notification_ledger WHERE id = :id AND tenant = :tenant
