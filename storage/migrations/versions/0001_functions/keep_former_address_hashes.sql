-- Every statement that changes the addresses of a recipient keeps the hashes of the former ones, the last fifty.
CREATE FUNCTION keep_former_address_hashes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.former_address_hashes := NEW.former_address_hashes || ARRAY(
    SELECT value FROM jsonb_each_text(OLD.address_hashes)
     WHERE value IS NOT NULL AND value <> ALL (NEW.former_address_hashes)
       AND value NOT IN (
         SELECT kept.value FROM jsonb_each_text(NEW.address_hashes) kept WHERE kept.value IS NOT NULL));
  NEW.former_address_hashes :=
    NEW.former_address_hashes[greatest(1, cardinality(NEW.former_address_hashes) - 49):];
  RETURN NEW;
END $$
