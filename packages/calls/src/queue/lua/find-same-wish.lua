-- KEYS: wishes, inDoubt. ARGV: prefix of job keys, digest. Returns the id of a call or nil.
return findSameWish(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
