-- Records that the operator's global concurrency is restored. ARGV: generation, ms to wait for late workers.
local record = load()
if record.state ~= 'half_open' and tonumber(ARGV[1]) == record.generation and NOW - record.since >= tonumber(ARGV[2]) then
  record.limited, record.operatorConcurrency = 0, ''
  save(record)
end
return reply(record)
