-- Records the probe's verdict.
-- ARGV: worker id, generation (the fencing token), pass|fail|inconclusive, reason, reset ms.
local record = load()
if record.state ~= 'half_open' or record.probing ~= 1 or tonumber(ARGV[2]) ~= record.generation then
  return reply(record)
end
if ARGV[3] == 'pass' then
  start_ramp(record, 1)
elseif ARGV[3] == 'fail' then
  open(record, 'The probe failed: ' .. ARGV[4], ARGV[1], tonumber(ARGV[5]))
else
  -- A local fault says nothing about the upstream: reopen without counting a trip, so that another worker can try.
  record.retryAt = NOW + math.min(tonumber(ARGV[5]), 5000)
  clear_ramp(record)
  move(record, 'open', 'The probe said nothing: ' .. ARGV[4], ARGV[1])
end
save(record)
publish(record)
return reply(record)
