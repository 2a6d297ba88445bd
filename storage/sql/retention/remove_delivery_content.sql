UPDATE delivery SET rendered_content = NULL, provider_response = NULL
 WHERE notification_id = ANY(:ids) AND (rendered_content IS NOT NULL OR provider_response IS NOT NULL)
