-- Returns 1 when the refused credentials may be tried again, or when no refusal is stored any more. Keys: refusal.
local till = redis.call('HGET', KEYS[1], 'until')
return (not till or now() >= tonumber(till)) and 1 or 0
