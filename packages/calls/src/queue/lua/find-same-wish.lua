-- KEYS: wishes, inDoubt. ARGV: start of a job's key, digest. Returns the id of a call, or nothing.
return findSameWish(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
