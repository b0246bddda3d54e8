-- Returns 1 when the refused credentials may be tried again. Keys: refusal.
local till = redis.call('HGET', KEYS[1], 'until')
return till and now() >= tonumber(till) and 1 or 0
