-- Carries out an operator's action. ARGV: open|probe|close-full, who, reason, until in ms (open), reset ms.
local record = load()
local action, who, reason = ARGV[1], ARGV[2], ARGV[3]
if action == 'open' then
  record.retryAt = tonumber(ARGV[4])
  record.forced = 1
  clear_ramp(record)
  move(record, 'open', reason, who)
elseif action == 'probe' then
  if record.state == 'open' then
    record.retryAt = NOW
    note({ kind = 'operator', to = 'probe now', worker = who, reason = reason, generation = record.generation })
  end
elseif action == 'close-full' then
  if record.state ~= 'closed' then close(record, reason, who) end
end
save(record)
publish(record)
return reply(record)
