SELECT topic, count(*) FROM topic_subscriber WHERE tenant = :tenant AND topic > :after
 GROUP BY topic ORDER BY topic LIMIT :limit
