-- Closes a half-open breaker with no work left, after enough successes or enough idle time.
-- ARGV: worker id, number of successes, idle time in ms, reset ms, fail max.
local record = load()
drop_expired_permits()
if record.state ~= 'half_open' or record.probing == 1 or redis.call('ZCARD', PERMITS) > 0 then return reply(record) end
local quiet = NOW - record.lastTrialAt
if record.successes >= tonumber(ARGV[2]) or (record.successes > 0 and quiet >= tonumber(ARGV[3])) then
  close(record, 'The trials succeeded and no work is left.', ARGV[1])
elseif record.successes == 0 and quiet >= tonumber(ARGV[4]) then
  -- No call came to test the upstream. The breaker closes, but the next failure opens it again.
  close(record, 'No call came to try the upstream with.', ARGV[1])
  record.streak = tonumber(ARGV[5]) - 1
else
  return reply(record)
end
save(record)
publish(record)
return reply(record)
