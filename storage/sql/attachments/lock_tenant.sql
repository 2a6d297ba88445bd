SELECT id FROM tenant WHERE id = :tenant FOR NO KEY UPDATE
