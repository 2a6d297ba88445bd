INSERT INTO pruned_count AS p (name, rows) VALUES (:name, :rows)
ON CONFLICT (name) DO UPDATE SET rows = p.rows + EXCLUDED.rows
