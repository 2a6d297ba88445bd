SELECT true FROM attempt mine
  JOIN delivery d ON d.id = mine.delivery_id
  JOIN attempt other ON other.address_hash = mine.address_hash AND other.state = 'submitting' AND other.id <> mine.id
   AND other.provider = mine.provider AND other.started_at > now() - interval '1 hour'
  JOIN delivery e ON e.id = other.delivery_id AND e.rendered_content = d.rendered_content
 WHERE mine.id = :id LIMIT 1
