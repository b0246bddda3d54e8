-- Records that the reconciler repaired a mismatch. ARGV: the mismatch.
local record = load()
note({ kind = 'repair', to = 'put right', reason = ARGV[1], generation = record.generation })
return reply(record)
