-- The words of a content for the search index. A content with more words than a tsvector can hold is delivered, but
-- is not found by its words.
CREATE FUNCTION content_words(content jsonb) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN jsonb_to_tsvector('simple'::regconfig, content, '["string"]'::jsonb);
EXCEPTION WHEN program_limit_exceeded THEN
  RETURN ''::tsvector;
END $$
