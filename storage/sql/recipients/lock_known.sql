SELECT recipient_id FROM recipient WHERE tenant = :tenant AND recipient_id = ANY(:recipient_ids)
 ORDER BY recipient_id FOR KEY SHARE
