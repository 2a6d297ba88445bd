SELECT x.id, x.generation FROM unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS x(id, generation)
 WHERE NOT EXISTS (SELECT 1 FROM notification n WHERE n.id = x.id AND n.generation >= x.generation)
