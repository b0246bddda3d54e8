-- Ends a flight that failed. Its waiters share its outcome. The pause before the next flight triples with each failure
-- in a row.
-- Keys: lock, failure. Args: flight, outcome, first pause ms, longest pause ms, the pause itself ('' = unknown).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
local times = tonumber(redis.call('HGET', KEYS[2], 'times') or 0) + 1
local pause = tonumber(ARGV[5]) or math.min(tonumber(ARGV[3]) * 3 ^ (times - 1), tonumber(ARGV[4]))
redis.call('HSET', KEYS[2], 'flight', ARGV[1], 'outcome', ARGV[2], 'times', times, 'until', now() + pause)
redis.call('PEXPIRE', KEYS[2], math.ceil(pause) + 2 * tonumber(ARGV[4]))
return 1
