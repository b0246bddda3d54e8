-- The reconciler mended a mismatch. ARGV: what it found.
local record = load()
note({ kind = 'repair', to = 'put right', reason = ARGV[1], generation = record.generation })
return reply(record)
