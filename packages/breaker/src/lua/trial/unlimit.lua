-- The operator's own global concurrency has been put back. ARGV: generation, ms after which nobody is late any more.
local record = load()
if record.state ~= 'half_open' and tonumber(ARGV[1]) == record.generation and NOW - record.since >= tonumber(ARGV[2]) then
  record.limited, record.operatorConcurrency = 0, ''
  save(record)
end
return reply(record)
